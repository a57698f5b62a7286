"""The CLI's history against the objects: rows without objects, objects without a row, halves."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from toolkit.errors import FindingsError
from toolkit.operations.doctor.model import ENVIRONMENT, Question, Trouble
from toolkit.operations.drift.scope import Made, made_by
from toolkit.resources import statement
from toolkit.rollout.phases import Phase, phases, verify

_NAME = "history"
_SHOWN = 6
# The data waits for the backfill: moved in one transaction, it would keep writers waiting.
_DEPLOY = f"meterledger deploy {ENVIRONMENT} --defer-backfill"
# Made only where the app had no such table, or no such key.
_WITH = {
    "public.create_user_profile": "public.user_profiles",
    "create_user_profile": "public.user_profiles",
    "public.electricity_readings_user_date": "public.electricity_readings",
}
_WHERE_MISSING = "token_events_user_profile_fkey"
# The check of the materialized view has a better repair than to run its phase again.
_ELSEWHERE = "public.electricity_readings_mv_key"


def look_at_history(connection: psycopg.Connection[TupleRow], _: Question) -> Iterator[Trouble]:
    """Every phase on which the history and the catalog do not agree.

    A phase is told by the objects that its file makes and no earlier one does.
    """
    applied = _applied(connection)
    if applied is None:
        yield Trouble(
            _NAME,
            "the CLI's history (supabase_migrations.schema_migrations) is gone",
            "supabase migration repair --status applied VERSION, for each phase that holds",
            safe=False,
        )
        return
    made = _made(found_tables(connection))
    there = _there(connection, made)
    newest = max((phase.version for phase in phases() if phase.version in applied), default="")
    for phase in phases():
        count, missing = there.get(phase.version, (0, []))
        if phase.version in applied:
            if missing:
                yield _row_without_objects(connection, phase, applied, missing)
        elif count and not missing:
            yield _objects_without_row(connection, phase)
        elif count:
            yield _half(phase, missing)
        elif phase.version < newest:
            yield Trouble(
                _NAME,
                f"{phase.migration.name} was never applied, and later phases were",
                _DEPLOY,
                safe=False,
            )


def _row_without_objects(
    connection: psycopg.Connection[TupleRow], phase: Phase, applied: set[str], missing: list[str]
) -> Trouble:
    """Forget it and what came after it, which may have replaced some of it; then deploy again."""
    again = [p.version for p in phases() if p.version >= phase.version and p.version in applied]
    forget = sql.SQL(
        "delete from supabase_migrations.schema_migrations where version in ({})"
    ).format(sql.SQL(", ").join(map(sql.Literal, again)))
    return Trouble(
        _NAME,
        f"the history says that {phase.migration.name} was applied, and it lacks {_few(missing)}",
        f"run: {forget.as_string(connection)}; then: {_DEPLOY}",
        safe=False,
    )


def _objects_without_row(connection: psycopg.Connection[TupleRow], phase: Phase) -> Trouble:
    """Killed between the two, or run by hand. Where the phase holds, the row is all it lacks."""
    text = f"{phase.migration.name} is applied, and the history does not say so"
    try:
        verify(connection, (phase,))
    except FindingsError as error:
        return Trouble(_NAME, f"{text}; {error.message}", _DEPLOY, safe=False)
    note = sql.SQL(
        "insert into supabase_migrations.schema_migrations (version, name) values ({}, {});"
    ).format(phase.version, phase.name)
    return Trouble(_NAME, text, note.as_string(connection), safe=True)


def _half(phase: Phase, missing: list[str]) -> Trouble:
    return Trouble(
        _NAME,
        f"{phase.migration.name} is half applied: it lacks {_few(missing)}",
        _DEPLOY,
        safe=False,
    )


def _applied(connection: psycopg.Connection[TupleRow]) -> set[str] | None:
    there = connection.execute(
        "select to_regclass('supabase_migrations.schema_migrations') is not null"
    ).fetchone()
    if there != (True,):
        return None
    rows = connection.execute(
        "select h.version from supabase_migrations.schema_migrations as h"
    ).fetchall()
    return {str(version) for (version,) in rows}


def found_tables(connection: psycopg.Connection[TupleRow]) -> frozenset[str]:
    """The public tables that the app had before the rollout."""
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
