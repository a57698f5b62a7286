"""Every kind of rows that a rollback touches, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from toolkit.operations.rollback.counting import (
    BASELINE,
    CALLS,
    EVENTS,
    INSTALL,
    RECORD,
    RECORDED,
    VIEWS,
    Connection,
    Facts,
    aside_lost,
    events_lost,
    events_since,
    rows,
    rows_if_created,
    strange_rows,
    touched_profiles,
    waived_rejects,
    will_be_set_aside,
)
from toolkit.operations.rollback.report import Fate, Holding
from toolkit.operations.rollback.steps import DATA_PHASE


@dataclass(frozen=True)
class Kind:
    """One kind of rows.

    Attributes:
        name: short and stable.
        title: what they are.
        versions: phases whose rollback touches them; the first one to go counts them.
        fate: what becomes of them.
        count: reads how many there are.
        discard: statements that take them away, where the rollback's file refuses to.
    """

    name: str
    title: str
    versions: tuple[str, ...]
    fate: Fate
    count: Callable[[Connection, Facts], int]
    discard: tuple[str, ...] = ()


def count_holdings(connection: Connection, known: Facts, order: list[str]) -> tuple[Holding, ...]:
    """Everything that the steps touch, in their order; kinds without rows are left out."""
    found = []
    for kind in KINDS:
        version = next((v for v in order if v in kind.versions), None)
        if version is None:
            continue
        count = kind.count(connection, known)
        if count:
            found.append(Holding(kind.name, kind.title, version, kind.fate, count))
    return tuple(sorted(found, key=lambda holding: order.index(holding.version)))


def kinds_lost_with(version: str) -> Iterator[Kind]:
    """The kinds that a phase's rollback may lose."""
    return (kind for kind in KINDS if kind.fate is Fate.LOST and version in kind.versions)


KINDS = (
    Kind(
        "waived_rejects",
        "decisions about rejected rows",
        (DATA_PHASE, RECORD, INSTALL),
        Fate.LOST,
        waived_rejects,
    ),
    Kind(
        "orphaned_rejects",
        "rejected rows that the legacy table does not hold any more",
        (DATA_PHASE, INSTALL),
        Fate.LOST,
        rows(
            "ledger.migration_rejects",
            "not exists (select from public.electricity_readings as r where r.id = t.reading_id)",
        ),
    ),
    Kind(
        "events",
        "events in the table token_events, which the rollout made",
        (EVENTS,),
        Fate.LOST,
        events_lost,
        (
            "insert into ledger.maintenance (purpose) values ('rollback')",
            "delete from public.token_events",
        ),
    ),
    Kind(
        "batches",
        "recalculations in the table recalculation_batches, which the rollout made",
        (EVENTS,),
        Fate.LOST,
        rows_if_created("public.recalculation_batches"),
        ("delete from public.recalculation_batches",),
    ),
    Kind(
        "set_aside",
        "rows in ledger.set_aside, among them what this rollback puts there",
        (BASELINE,),
        Fate.LOST,
        aside_lost,
        ("delete from ledger.set_aside where kind not in ('migration run', 'completed event')",),
    ),
    Kind(
        "readings",
        "readings in the table electricity_readings, which the rollout made",
        (BASELINE,),
        Fate.LOST,
        rows_if_created("public.electricity_readings"),
        ("delete from public.electricity_readings",),
    ),
    Kind(
        "profiles",
        "profiles with something of their own, in the table that the rollout made",
        (BASELINE,),
        Fate.LOST,
        touched_profiles,
        (
            "update public.user_profiles set display_name = null, last_login = null,"
            " role = 'user', status = 'active',"
            ' tariff_settings = \'{"rate": 1444.70, "currency": "IDR"}\'',
        ),
    ),
    Kind(
        "strange_tables",
        "rows of tables in the schema ledger that no phase made",
        (BASELINE,),
        Fate.LOST,
        strange_rows,
    ),
    Kind(
        "voids_and_references",
        "voids, references and links of migrated events, kept whole in ledger.set_aside",
        (DATA_PHASE, INSTALL),
        Fate.ASIDE,
        will_be_set_aside,
    ),
    Kind("receipts", "receipts of proven rollouts", (RECORD,), Fate.ASIDE, rows(RECORDED[0])),
    Kind(
        "reviewed_matches", "decisions about near matches", (RECORD,), Fate.ASIDE, rows(RECORDED[1])
    ),
    Kind(
        "events_since",
        "events that clients wrote since the data was migrated",
        (DATA_PHASE, INSTALL),
        Fate.STAYS,
        events_since,
    ),
    Kind(
        "migrated",
        "migrated events; their legacy rows stay",
        (DATA_PHASE, INSTALL),
        Fate.DERIVED,
        rows("ledger.migrated_readings", "not t.completed and not t.superseded"),
    ),
    Kind(
        "merged",
        "dual-written events that count again",
        (DATA_PHASE, INSTALL),
        Fate.STAYS,
        rows("ledger.merges"),
    ),
    Kind(
        "rejects",
        "entries of rejected rows; the legacy rows stay",
        (DATA_PHASE, INSTALL),
        Fate.DERIVED,
        rows("ledger.migration_rejects"),
    ),
    Kind(
        "old_versions",
        "voided events of readings that the app changed or deleted since, as it did in its own "
        "table",
        (DATA_PHASE, INSTALL),
        Fate.RECORD,
        rows("ledger.migrated_readings", "t.superseded and not t.completed"),
    ),
    Kind(
        "event_calls",
        "answers kept for calls that a client repeats; the events keep their keys",
        (CALLS,),
        Fate.RECORD,
        rows("ledger.event_calls"),
    ),
    Kind(
        "refresh_log",
        "lines of the log of refreshes",
        (VIEWS,),
        Fate.RECORD,
        rows("ledger.refresh_log"),
    ),
    Kind(
        "deployments",
        "lines of the log of deployments",
        (BASELINE,),
        Fate.RECORD,
        rows("ledger.deployments"),
    ),
)
