"""Rolls out one environment step by step, stops at the first red, and leaves a receipt."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import toolkit
from toolkit.connection import connect, describe
from toolkit.errors import FindingsError, MeterledgerError, UsageError
from toolkit.operations.deploy.provenance import provenance
from toolkit.operations.promote import receipt as receipts
from toolkit.operations.promote.receipt import MAX_AGE, Receipt
from toolkit.operations.promote.steps import STEPS, Job, StepResult, recorded
from toolkit.operations.status import detail_of, read_status, state_of
from toolkit.operations.status.model import State
from toolkit.rollout.checksums import checksum
from toolkit.rollout.checksums import recorded as recorded_checksums
from toolkit.rollout.phases import phases
from toolkit.rollout.standing import require_rollout

# Both proofs are of the moment: a receipt never rests on those of an earlier run.
PROOFS = ("validate", "isolation")
_UNDO = {"deploy": "--to nothing --plan", "backfill": "--to data --plan"}


@dataclass(frozen=True)
class RolloutReport:
    """What a rollout of one environment came to.

    Attributes:
        environment: its name.
        results: of the steps that ran, in order.
        receipt: what was proven, where everything was green.
        signature: of the receipt.
        file: where the receipt was written.
        red: what to do where a step was red: commands to continue and to undo.
    """

    environment: str
    results: tuple[StepResult, ...]
    receipt: Receipt | None
    signature: str = ""
    file: Path | None = None
    red: tuple[str, ...] = ()

    @property
    def pending(self) -> bool:
        """Whether it stopped only because an earlier step has not done its work yet."""
        return bool(self.results) and self.results[-1].pending

    @property
    def green(self) -> bool:
        """Whether all steps were, so that there is a receipt."""
        return self.receipt is not None


def local_checksums() -> dict[str, str]:
    """Version → SHA-256 of each phase file at hand."""
    return {phase.version: checksum(phase) for phase in phases()}


def vouch(
    body: Receipt, signature: str, *, key: str, environment: str, max_age: timedelta = MAX_AGE
) -> None:
    """Refuse a receipt that does not vouch for the files at hand.

    Raises:
        FindingsError: the message says why.
    """
    receipts.require(
        body, signature, key, environment=environment, phases=local_checksums(), max_age=max_age
    )


def staging_receipt(url: str, name: str) -> tuple[Receipt, str]:
    """The newest receipt on record in a database, which must still be as it was proven then.

    Raises:
        FindingsError: there is none, or the database has moved on since.
    """
    with connect(url, autocommit=True) as connection:
        found = receipts.newest(connection)
        now = read_status(connection, environment=name, url=url) if found is not None else None
    if found is None or now is None:
        raise FindingsError(
            f"{name} ({describe(url)}) has no receipt of a proven rollout",
            next_step=f"roll out there first: meterledger rollout {name}",
        )
    if found[0].green and state_of(now) is not State.VALIDATED:
        raise FindingsError(
            f"{name} is not as its newest receipt says, but in state {state_of(now)}: "
            f"{detail_of(now)}",
            next_step=f"prove it again: meterledger rollout {name}",
        )
    return found


def run_rollout(
    job: Job, *, key: str | None, folder: Path, command: str, start: str = "preflight"
) -> RolloutReport:
    """Run the steps from one on.

    Args:
        job: what and where.
        key: what receipts are signed with.
        folder: where the receipt's file goes.
        command: what the operator typed, for the words that say how to continue.
        start: the first step to run.

    Raises:
        UsageError: no key, no such step, or the database is another environment.
        FindingsError: the files at hand are not those that were applied.
        NotRolledOutError: nothing is there to prove.
    """
    signing = receipts.check_key(key)
    done: list[StepResult] = []
    steps = steps_from(start)
    recorded(job)
    for name in steps:
        job.observer.step(name)
        if name == PROOFS[0]:
            _require_same_files(job)
        try:
            result = _run(name, job)
        except KeyboardInterrupt:
            for line in (f"stopped in {name}", *_advice(name, job.environment.name, command)):
                job.observer.note(line)
            raise
        done.append(result)
        job.observer.note(f"{result.colour} {result.summary}")
        if not result.green:
            if name in PROOFS:
                # On record too, so that an older green receipt no longer vouches.
                _store(job, _receipt(job, done), signing)
            red = _advice(name, job.environment.name, command)
            return RolloutReport(job.environment.name, tuple(done), None, red=red)
    body = _receipt(job, done)
    signature = _store(job, body, signing)
    file = folder / f"{job.environment.name}-{body.made_at.replace(':', '').partition('+')[0]}.json"
    receipts.write(file, body, signature)
    return RolloutReport(job.environment.name, tuple(done), body, signature, file)


def steps_from(start: str) -> tuple[str, ...]:
    """The steps of a rollout that begins at one of them.

    Raises:
        UsageError: there is no such step, or it cannot be begun at.
    """
    names = list(STEPS)
    may_start = names[: names.index(PROOFS[0]) + 1]
    if start not in may_start:
        raise UsageError(
            f"a rollout does not start at {start!r}",
            next_step=f"start at one of {', '.join(may_start)}",
        )
    return tuple(names[names.index(start) :])


def _require_same_files(job: Job) -> None:
    """What is proven here must be what was applied here."""
    with connect(job.url, autocommit=True) as connection:
        # What is gone is for the proof to find, and for a receipt to say.
        require_rollout(connection, whole=False)
        applied = recorded_checksums(connection)
    other = sorted(v for v, known in local_checksums().items() if applied.get(v) != known)
    if other:
        raise FindingsError(
            f"the files at hand are not those that {job.environment.name} has: {', '.join(other)}",
            next_step=f"deploy them: meterledger deploy {job.environment.name} --defer-backfill",
        )


def _store(job: Job, body: Receipt, key: str) -> str:
    signature = receipts.sign(body, key)
    with connect(job.url) as connection:
        receipts.store(connection, body, signature)
    return signature


def _run(name: str, job: Job) -> StepResult:
    started = time.monotonic()
    try:
        result = STEPS[name](job)
    except MeterledgerError as error:
        error.name(job.environment.name)
        lines = (f"{error.message} (next: {error.next_step})", *error.details)
        result = StepResult(name, False, error.message, lines)
    return replace(result, seconds=time.monotonic() - started)


def _advice(name: str, environment: str, command: str) -> tuple[str, ...]:
    again = name if name not in PROOFS else PROOFS[0]
    if command.split()[1] == "receipt":  # which changes nothing
        return (f"to prove again afterwards: {command}",)
    lines = [f"to continue, once it is mended: {command} --from {again}"]
    reached = list(STEPS).index(name)
    undo = next(
        (how for step, how in reversed(_UNDO.items()) if list(STEPS).index(step) <= reached), None
    )
    if undo is not None:
        lines.append(f"to undo: meterledger rollback {environment} {undo}")
    else:
        lines.append("nothing was changed yet: there is nothing to undo")
    return tuple(lines)


def _receipt(job: Job, done: Sequence[StepResult]) -> Receipt:
    facts: dict[str, Mapping[str, Any]] = {result.name: result.facts for result in done}
    validation, isolation = dict(facts.get("validate", {})), dict(facts.get("isolation", {}))
    source = provenance()
    return Receipt(
        environment=job.environment.name,
        database=describe(job.url),
        phases=local_checksums(),
        fingerprint=str(validation.pop("fingerprint", "")),
        validation=validation,
        isolation=isolation,
        versions={
            "meterledger": toolkit.__version__,
            "server": str(isolation.pop("server_version", "")),
            "cli": source.cli or "",
        },
        git_commit=source.commit or "",
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
