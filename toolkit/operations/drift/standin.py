"""A stand-in for the app as it was found: its tables with its own columns, in their order.

The views of the rollout spell out what `select e.*` found, so that the app's own columns and the
order of all of them are part of what the migrations give.
"""

from __future__ import annotations

import re

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.bootstrap import StartingPoint, create_legacy_app
from toolkit.operations.drift.model import Columns, StartingShape

_PROFILES = "public.user_profiles"
_READINGS = "public.electricity_readings"
_EVENTS = "public.token_events"
_BATCHES = "public.recalculation_batches"
# In the order in which they can go, with what the stand-in hung on them.
_DROPS = {
    _BATCHES: "drop table public.recalculation_batches cascade",
    _EVENTS: "drop table public.token_events cascade",
    _READINGS: "drop table public.electricity_readings cascade",
    _PROFILES: "drop table public.user_profiles cascade; "
    "drop function public.handle_new_user() cascade",
}
_COLUMNS = (
    "select a.attname, format_type(a.atttypid, a.atttypmod) from pg_attribute as a "
    "where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped order by a.attnum"
)
# Types that the phases accept in place of each other, with whatever limits the app gave them.
_WORDS = re.compile(r"text|character varying(?:\(\d+\))?")
_NUMBERS = re.compile(r"numeric(?:\(\d+,\d+\))?")


def create_found_app(connection: psycopg.Connection[TupleRow], shape: StartingShape) -> None:
    """The tables that the rollout found, and nothing where it found none.

    Args:
        connection: of the role that migrates, to an empty database of Supabase's shape.
        shape: which tables there were, and their columns.
    """
    if not shape.found & set(_DROPS):
        return
    events = {_EVENTS, _BATCHES} & shape.found
    create_legacy_app(
        connection,
        StartingPoint.DUAL_WRITE if events else StartingPoint.LEGACY_ONLY,
        date_type=shape.date_type,
        unique_days=shape.unique_days,
    )
    for table, drop in _DROPS.items():
        if table not in shape.found and _columns(connection, table):
            connection.execute(sql.SQL(drop))
    for table, wanted in shape.columns:
        _reshape(connection, table, wanted)


def _reshape(connection: psycopg.Connection[TupleRow], table: str, wanted: Columns) -> None:
    """Make the table anew where its columns are not the stand-in's own."""
    usual = _columns(connection, table)
    columns = tuple((name, _type(type_, usual.get(name))) for name, type_ in wanted)
    if columns == tuple(usual.items()):
        return
    name = sql.Identifier(*table.split("."))
    parts: list[sql.Composable] = [
        sql.SQL("{} {}").format(sql.Identifier(c), sql.SQL(type_)) for c, type_ in columns
    ]
    parts.append(sql.SQL("primary key (id)"))
    if _columns(connection, _PROFILES):
        parts.append(
            sql.SQL("foreign key (user_id) references public.user_profiles (id) on delete cascade")
        )
    connection.execute(sql.SQL("drop table {} cascade").format(name))
    connection.execute(sql.SQL("create table {} ({})").format(name, sql.SQL(", ").join(parts)))
    connection.execute(sql.SQL("alter table {} enable row level security").format(name))


def _columns(connection: psycopg.Connection[TupleRow], table: str) -> dict[str, str]:
    return {str(name): str(kind) for name, kind in connection.execute(_COLUMNS, (table,))}


def _type(found: str, usual: str | None) -> str:
    """The app's own type where the phases accept it; else the usual one, so that it differs.

    A column of the app's own is text here: nothing of it is compared but that it is there.
    """
    if usual is None:
        return "text"
    for kind in (_WORDS, _NUMBERS):
        if kind.fullmatch(found) and kind.fullmatch(usual):
            return found
    return usual
