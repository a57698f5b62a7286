"""The checks that are one SQL statement each: every row that it returns is a finding."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.errors import ENVIRONMENT
from toolkit.rollout.standing import BACKFILL
from toolkit.validation.report import Verdict


@dataclass(frozen=True)
class SqlCheck:
    """A statement of toolkit/sql that returns (user_id, row_id, finding).

    Attributes:
        name: short and stable.
        title: what it asks.
        statement: the file's stem.
        found: what a finding means: FAIL, or NOTE where a person decides.
        next_step: what to do about findings.
        sampled: it is dear, and takes the users to look at as the parameter users.
        of_table: it compares with the legacy table: nothing to do where that is archived.
        of_archive: it looks at the archived table: nothing to do before the cutover.
        while_moving: its next step while the backfill has not moved every row yet, if another.
    """

    name: str
    title: str
    statement: str
    found: Verdict
    next_step: str
    sampled: bool = False
    of_table: bool = False
    of_archive: bool = False
    while_moving: str = ""


_REPAIR = f"repair it from the events: meterledger doctor {ENVIRONMENT} --fix; then report the rows"
_REPORT = "this is a defect: keep the database as it is and report the rows"

SETTLE = (
    "see ledger.unsettled: void the reading's event where that is still meant, then note it: "
    "update ledger.set_aside set settled_at = now() where set_aside_id = …"
)

SQL_CHECKS = (
    SqlCheck(
        "books_balance",
        "legacy rows = migrated + rejected",
        "check_books_balance",
        Verdict.FAIL,
        _REPORT,
    ),
    SqlCheck(
        "backfill",
        "legacy rows that wait for the backfill",
        "check_backfill",
        Verdict.PENDING,
        f"backfill pending: {BACKFILL}",
        of_table=True,
    ),
    SqlCheck(
        "lossless",
        "the view gives every legacy row back, field by field",
        "check_lossless",
        Verdict.FAIL,
        _REPORT,
        sampled=True,
        of_table=True,
    ),
    SqlCheck(
        "archive_kept",
        "every row of the archived table is shown, rejected, or was taken away by its user",
        "check_archive_kept",
        Verdict.FAIL,
        _REPORT,
        of_archive=True,
    ),
    SqlCheck(
        "projection_is_live",
        "the projection equals the live computation, for everybody",
        "check_projection_is_live",
        Verdict.FAIL,
        _REPAIR,
        sampled=True,
    ),
    SqlCheck(
        "mv_is_projection",
        "the refreshed materialized view equals the projection",
        "check_mv_is_projection",
        Verdict.FAIL,
        _REPAIR,
    ),
    SqlCheck(
        "kwh_sums",
        "kWh per user add up to the same in the table and in the view",
        "check_kwh_sums",
        Verdict.FAIL,
        _REPORT,
        sampled=True,
        of_table=True,
    ),
    SqlCheck(
        "rejects",
        "legacy rows that cannot become an event",
        "check_rejects",
        Verdict.NOTE,
        f"correct, waive or retry them: meterledger rejects {ENVIRONMENT}",
    ),
    SqlCheck(
        "set_aside",
        "voids and links that a rollback set aside and no migration applied again",
        "check_set_aside",
        Verdict.NOTE,
        SETTLE,
    ),
    SqlCheck(
        "near_matches",
        "events that almost state a reading's fact",
        "check_near_matches",
        Verdict.NOTE,
        f"keep or merge them; both count until then: meterledger duplicates {ENVIRONMENT}",
        while_moving="the backfill merges what it can: look again after it",
        of_table=True,
    ),
    SqlCheck(
        "unseen_by_legacy",
        "events that readers of the legacy table do not see",
        "check_unseen_by_legacy",
        Verdict.NOTE,
        "expected before cutover: clients of electricity_readings_v see them",
        of_table=True,
    ),
    SqlCheck(
        "negative_consumption",
        "meters that show more than the balance allows",
        "check_negative_consumption",
        Verdict.NOTE,
        "an unrecorded top-up or a typing error: ask the household",
    ),
)
