"""Drift as one check of a validation."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import chain

import psycopg
from psycopg.rows import TupleRow

from toolkit.errors import MeterledgerError
from toolkit.operations.drift.compare import compare
from toolkit.operations.drift.read import fingerprint, starting_shape
from toolkit.operations.drift.replay import OnStep, expected_fingerprint
from toolkit.validation.report import CheckResult, Finding, Verdict

NAME = "drift"
TITLE = "the catalog is what the migrations give"


def drift_check(
    *, keep: int = 5, on_step: OnStep | None = None
) -> Callable[[psycopg.Connection[TupleRow]], CheckResult]:
    """A check for toolkit.validation.run.validate(further={'drift': …}).

    Args:
        keep: how many differences to show.
        on_step: told what takes long, before it begins.
    """

    def check(connection: psycopg.Connection[TupleRow]) -> CheckResult:
        started = time.monotonic()
        try:
            actual, shape = fingerprint(connection), starting_shape(connection)
            expected = expected_fingerprint(shape, on_step)
        except MeterledgerError as error:
            return _not_made(error)
        differences = compare(actual, expected)
        return CheckResult(
            name=NAME,
            title=TITLE,
            verdict=Verdict.FAIL if differences else Verdict.OK,
            count=len(differences),
            findings=tuple(
                Finding(None, None, " | ".join(chain(d.lines, (f"next: {d.next_step}",))))
                for d in differences[:keep]
            ),
            next_step="mend what each finding names, or bring the change in by a migration"
            if differences
            else "",
            seconds=time.monotonic() - started,
            figures={
                "sha256": actual.sha256,
                "expected_sha256": expected.sha256,
                "objects": len(actual.objects),
                "replayed_on": expected.major,
            },
        )

    return check


def _not_made(error: MeterledgerError) -> CheckResult:
    """Fail closed: what was not looked at is not in order."""
    return CheckResult(
        name=NAME,
        title=TITLE,
        verdict=Verdict.FAIL,
        count=1,
        findings=(Finding(None, None, error.message),),
        next_step=error.next_step,
    )
