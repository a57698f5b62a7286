"""The CLI's history against the objects: rows without objects, objects without a row, halves."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from toolkit.errors import FindingsError
from toolkit.operations.doctor.model import Extent, Question, State, Trouble
from toolkit.operations.drift.scope import Made, made_by
from toolkit.resources import statement
from toolkit.rollout.phases import DATA_PHASE, Phase, phases, verify
from toolkit.rollout.standing import (
    BACKFILL,
    DEPLOY,
    Data,
    data,
    history,
    rolled_back_at,
)

_NAME = "history"
_SHOWN = 6
_LOCK_IS_HELD = (
    "select exists (select from pg_locks as l where l.locktype = 'advisory' and l.granted "
    "and l.objsubid = 1 and (l.classid::bigint << 32) | l.objid::bigint "
    "= hashtextextended('meterledger.deploy', 0) and l.database = "
    "(select d.oid from pg_database as d where d.datname = current_database()))"
)
# Made only where the app had no such table, or no such key.
_WITH = {
    "public.create_user_profile": "public.user_profiles",
    "create_user_profile": "public.user_profiles",
    "public.electricity_readings_user_date": "public.electricity_readings",
}
_WHERE_MISSING = "token_events_user_profile_fkey"
# The check of the materialized view has a better repair than to run its phase again.
_ELSEWHERE = "public.electricity_readings_mv_key"


def is_deploying(connection: psycopg.Connection[TupleRow]) -> bool:
    """Whether a deploy or a rollback holds its lock."""
    return connection.execute(_LOCK_IS_HELD).fetchone() == (True,)


def state_of(connection: psycopg.Connection[TupleRow]) -> State:
    """Where the rollout stands: the history, the objects, and what was rolled back on purpose.

    What is missing was rolled back on purpose where nothing was deployed after a rollback.
    """
    applied = history(connection)
    moved, deploying = data(connection), is_deploying(connection)
    there = _there(connection, _made(found_tables(connection)))
    nothing = not _has_ledger(connection)
    if applied is None and not nothing:
        return State(Extent.UNKNOWN, data=moved, deploying=deploying)
    missing = [
        phase
        for phase in phases()
        if phase.version not in (applied or ()) and not _holds(phase, there, moved)
    ]
    names = tuple(phase.name for phase in missing)
    if nothing and not any(phase.version in (applied or ()) for phase in phases()):
        return State(Extent.NOTHING, names, deploying=deploying, next_step=DEPLOY)
    if not missing:
        step = "" if moved is Data.MOVED else BACKFILL
        return State(Extent.COMPLETE, data=moved, deploying=deploying, next_step=step)
    when = rolled_back_at(connection)
    extent = Extent.PARTLY if when is None else Extent.ROLLED_BACK
    step = BACKFILL if [phase.version for phase in missing] == [DATA_PHASE] else DEPLOY
    return State(extent, names, moved, when, deploying, step)


def _has_ledger(connection: psycopg.Connection[TupleRow]) -> bool:
    row = connection.execute("select to_regclass('ledger.settings') is not null").fetchone()
    return row == (True,)


def _holds(phase: Phase, there: dict[str, tuple[int, list[str]]], moved: Data) -> bool:
    """Whether a phase did its work, whatever the history says."""
    if phase.version == DATA_PHASE:
        return moved is not Data.WAITS
    count, lacking = there.get(phase.version, (0, []))
    return bool(count) and not lacking


def look_at_history(connection: psycopg.Connection[TupleRow], _: Question) -> Iterator[Trouble]:
    """Every phase on which the history and the catalog do not agree, and an end that is missing.

    A phase is told by the objects that its file makes and no earlier one does.
    """
    applied = history(connection)
    if applied is None:
        yield Trouble(
            _NAME,
            "the CLI's history (supabase_migrations.schema_migrations) is gone",
            "supabase migration repair --status applied VERSION, for each phase that holds",
            safe=False,
        )
        return
    state = state_of(connection)
    there = _there(connection, _made(found_tables(connection)))
    halves = False
    for phase in phases():
        count, missing = there.get(phase.version, (0, []))
        if phase.version in applied:
            if missing:
                yield _row_without_objects(connection, phase, applied, missing)
        elif count and not missing:
            yield _objects_without_row(connection, phase)
        elif count:
            halves = True
            yield _half(phase, missing)
    if state.extent is Extent.PARTLY and not halves and not state.deploying:
        yield Trouble(
            _NAME,
            f"the rollout is not complete: never applied: {_few(list(state.missing))}",
            DEPLOY,
            safe=False,
        )


def _row_without_objects(
    connection: psycopg.Connection[TupleRow],
    phase: Phase,
    applied: frozenset[str],
    missing: list[str],
) -> Trouble:
    """Forget it and what came after it, which may have replaced some of it; then deploy again."""
    again = [p.version for p in phases() if p.version >= phase.version and p.version in applied]
    forget = sql.SQL(
        "delete from supabase_migrations.schema_migrations where version in ({})"
    ).format(sql.SQL(", ").join(map(sql.Literal, again)))
    return Trouble(
        _NAME,
        f"the history says that {phase.migration.name} was applied, and it lacks {_few(missing)}",
        f"run: {forget.as_string(connection)}; then: {DEPLOY}",
        safe=False,
    )


def _objects_without_row(connection: psycopg.Connection[TupleRow], phase: Phase) -> Trouble:
    """Killed between the two, or run by hand. Where the phase holds, the row is all it lacks."""
    text = f"{phase.migration.name} is applied, and the history does not say so"
    try:
        verify(connection, (phase,))
    except FindingsError as error:
        return Trouble(_NAME, f"{text}; {error.message}", DEPLOY, safe=False)
    note = sql.SQL(
        "insert into supabase_migrations.schema_migrations (version, name) values ({}, {});"
    ).format(phase.version, phase.name)
    return Trouble(_NAME, text, note.as_string(connection), safe=True)


def _half(phase: Phase, missing: list[str]) -> Trouble:
    return Trouble(
        _NAME,
        f"{phase.migration.name} is half applied: it lacks {_few(missing)}",
        DEPLOY,
        safe=False,
    )


def found_tables(connection: psycopg.Connection[TupleRow]) -> frozenset[str]:
    """The public tables that the app had before the rollout."""
    there = connection.execute("select to_regclass('ledger.found_objects') is not null").fetchone()
    if there != (True,):
        return frozenset()
    rows = connection.execute(
        "select f.object_name from ledger.found_objects as f where f.origin = 'found'"
    ).fetchall()
    return frozenset(str(name) for (name,) in rows)


def _made(found: frozenset[str]) -> list[tuple[str, Made]]:
    """(version, object): each object once, with the phase that makes it first."""
    known: set[Made] = set()
    result = []
    for phase in phases():
        for made in made_by(phase):
            if made in known or _was_the_apps(made, found):
                continue
            known.add(made)
            result.append((phase.version, made))
    return result


def _was_the_apps(made: Made, found: frozenset[str]) -> bool:
    return (
        made.name in (_WHERE_MISSING, _ELSEWHERE)
        or _WITH.get(made.name) in found
        or (made.kind == "table" and made.name in found)
    )


def _there(
    connection: psycopg.Connection[TupleRow], made: list[tuple[str, Made]]
) -> dict[str, tuple[int, list[str]]]:
    """By version: how many of its objects are there, and the names of the others."""
    listed = [
        {"version": version, "kind": one.kind, "name": one.name, "table_name": one.table}
        for version, one in made
    ]
    rows = connection.execute(statement("doctor_history"), {"made": Jsonb(listed)}).fetchall()
    return {version: (count, missing) for version, count, missing in rows}


def _few(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
