"""A deployment of an unknown shape: one clear error, nothing changed, and on after mending."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from tests.support.catalog import contents, objects
from tests.support.database import Database
from tests.support.household import ZONE, named, plant, put_events
from tests.support.rollout import apply, before, history, roll_everything_back
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from toolkit.errors import FindingsError, OperationalError
from toolkit.rollout import phases, push, verify

LEGACY, DUAL = StartingPoint.LEGACY_ONLY, StartingPoint.DUAL_WRITE
BASELINE, TABLES, KEYS = "20261101000000", "20261101000100", "20261101000104"
SHAPE = "has a shape that this rollout does not know"


@dataclass(frozen=True)
class Fault:
    """What is wrong with a deployment.

    Attributes:
        name: in words.
        phase: the version of the file that must stop.
        statements: that make it so.
        says: patterns that the message must hold: what is wrong, and where, all of it.
        step: a pattern of the next step.
        mending: statements that an operator runs then.
        starting_point: the deployment it happens to.
    """

    name: str
    phase: str
    statements: str
    says: tuple[str, ...]
    step: str
    mending: str
    starting_point: StartingPoint = DUAL


FAULTS = [
    Fault(
        "the legacy date is text",
        BASELINE,
        "alter table electricity_readings alter column date type text",
        (SHAPE, r"date: expected date\|timestamp with time zone, found text"),
        "expected types",
        "alter table electricity_readings alter column date type date using date::date",
        LEGACY,
    ),
    Fault(
        "the legacy table lacks a column and counts in floats",
        BASELINE,
        "alter table electricity_readings drop column meter_photo_url,"
        " alter column kwh_value type double precision",
        (SHAPE, "kwh_value: expected numeric, found double precision", "photo_url: .* no column"),
        "expected types",
        "alter table electricity_readings add column meter_photo_url text,"
        " alter column kwh_value type numeric",
        LEGACY,
    ),
    Fault(
        "token_events lacks a column and has one of another type",
        TABLES,
        "alter table token_events drop column voided_by, alter column metadata type text",
        (SHAPE, "metadata: expected jsonb, found text", "voided_by: expected uuid, found no col"),
        "expected types",
        "alter table token_events add column voided_by uuid,"
        " alter column metadata type jsonb using metadata::jsonb",
    ),
    Fault(
        "recalculation_batches lacks a column",
        TABLES,
        "alter table recalculation_batches drop column rolled_back_at",
        (SHAPE, "rolled_back_at: expected timestamp with time zone, found no column"),
        "expected types",
        "alter table recalculation_batches add column rolled_back_at timestamptz",
    ),
    Fault(
        "other objects read the amounts",
        TABLES,
        "create view sums as select user_id, sum(kwh_amount) as kwh from token_events group by 1;"
        "create materialized view costs as select token_cost from token_events;"
        "create function noted() returns trigger language plpgsql as 'begin return new; end';"
        "create trigger noted after update of kwh_amount on token_events"
        " for each row execute function noted();"
        "create function bought() returns numeric language sql"
        " begin atomic select sum(kwh_amount) from token_events; end;"
        "alter table token_events add column wh numeric generated always as (kwh_amount) stored",
        (
            "other objects read columns of token_events whose limits must go",
            "materialized view costs",
            "view sums",
            "trigger noted on table token_events",
            "function bought",
            "column wh",
        ),
        "Drop them, push, and create them again",
        "drop view sums; drop materialized view costs; drop trigger noted on token_events;"
        "drop function bought(); alter table token_events drop column wh",
    ),
    Fault(
        "other objects hang on the old key",
        KEYS,
        "create table receipts (event_id uuid references token_events (id));"
        "alter table token_events add constraint token_events_batch_fkey"
        " foreign key (recalc_batch_id) references recalculation_batches (id);"
        "create view labels as select id, notes, event_type from token_events group by id",
        (
            "other objects depend on the old key of id alone",
            "foreign key receipts_event_id_fkey on receipts",
            "foreign key token_events_batch_fkey on token_events",
            "view labels",
        ),
        "Drop them and push again",
        "drop table receipts; drop view labels;"
        "alter table token_events drop constraint token_events_batch_fkey",
    ),
    Fault(
        "a void crosses users",
        TABLES,
        "update token_events as v set void_of_event = e.id from token_events as e"
        " where v.event_type = 'VOID' and v.user_id < e.user_id",
        ("void_of_event points at no event of the same user", "event [0-9a-f-]{36} of user"),
        "Set void_of_event to null",
        "update token_events set void_of_event = null where event_type = 'VOID'",
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_an_unknown_shape_stops_with_a_list_and_goes_on_when_mended(
    make_database: MakeDatabase, fault: Fault
) -> None:
    database = make_database(fault.starting_point)
    plant(database, fault.starting_point)
    database.rows(fault.statements)
    stops_and_goes_on(database, fault)


def test_events_that_cannot_be_true_stop_with_a_list(make_database: MakeDatabase) -> None:
    database = make_database(DUAL)
    user, _ = plant(database, DUAL)
    untrue = {
        "kwh_amount out of range": ("TOPUP", "2024-05-01Z", "NaN", 1),
        "token_cost out of range": ("TOPUP", "2024-05-01Z", 1, "NaN"),
        "event_date out of range": ("TOPUP", "infinity", 1, 1),
        "a meter below zero": ("METER_READING", "2024-05-01Z", -1, None),
        "a top-up of nothing": ("TOPUP", "2024-05-01Z", 0, 1),
        "a void that has an amount": ("VOID", "2024-05-01Z", 5, None),
    }
    names = ("event_type", "event_date", "kwh_amount", "token_cost")
    with database.connect() as connection:
        for problem, values in untrue.items():
            row = {"id": named(user, problem), "user_id": user, "notes": "untrue"}
            put_events(connection, [row | dict(zip(names, values, strict=True))])
    says = tuple(f"{values[0]} {named(user, why)} \\({why}\\)" for why, values in untrue.items())
    fault = Fault(
        "events that cannot be true",
        TABLES,
        "",
        ("events that cannot be true", *says),
        "Correct them, or void them",
        "update token_events set is_voided = true, voided_reason = 'cannot be true'"
        " where notes = 'untrue'",
    )
    stops_and_goes_on(database, fault)
    kept = database.value("select count(*) from token_events where notes = 'untrue'")
    assert kept == len(untrue)


def stops_and_goes_on(database: Database, fault: Fault) -> None:
    earlier = before(fault.phase)
    apply(database, earlier, time_zone=ZONE)
    there = (objects(database), contents(database), history(database))

    with pytest.raises(OperationalError) as stopped:
        push(database.url, time_zone=ZONE)
    for pattern in fault.says:
        assert re.search(pattern, stopped.value.message), stopped.value.message
    name = next(phase.name for phase in phases() if phase.version == fault.phase)
    assert stopped.value.message.startswith(f"phase {fault.phase}_{name} failed: ")
    assert re.search(fault.step, stopped.value.next_step), stopped.value.next_step
    assert (objects(database), contents(database), history(database)) == there

    database.rows(fault.mending)
    if fault.phase == KEYS:  # the real thing once, the same by psycopg otherwise
        push(database.url, time_zone=ZONE)
    else:
        apply(database, [phase for phase in phases() if phase not in earlier], time_zone=ZONE)
    holds(database)


def holds(database: Database) -> None:
    with database.connect() as connection:
        verify(connection, phases())
    assert database.rows("select * from ledger.migration_differences()") == []


def test_what_was_voided_may_hold_anything(make_database: MakeDatabase) -> None:
    """A voided event does not count, so it stops nothing and stays as it is."""
    database = make_database(DUAL)
    user, _ = plant(database, DUAL)
    database.rows(
        "insert into token_events (user_id, event_type, event_date, kwh_amount, is_voided, notes)"
        " values (%s, 'TOPUP', '-infinity', 'NaN', true, 'odd')",
        (user,),
    )
    apply(database, time_zone=ZONE)
    holds(database)
    kept = database.rows(
        "select kwh_amount::text, event_date::text from token_events where notes = 'odd'"
    )
    assert kept == [("NaN", "-infinity")]


def test_policies_that_read_an_amount_are_replaced_and_come_back(
    make_database: MakeDatabase,
) -> None:
    database = make_database(DUAL)
    database.rows(
        "create policy big on token_events as restrictive for select to authenticated"
        " using (kwh_amount >= 0)"
    )
    there = policies(database)
    apply(database, time_zone=ZONE)
    assert not any('"big"' in line for line in policies(database))
    roll_everything_back(database)
    assert policies(database) == there


def policies(database: Database) -> set[str]:
    return {line for line in objects(database) if line.startswith("policy")}


def test_a_null_mark_and_a_null_date_of_creation_are_filled(make_database: MakeDatabase) -> None:
    database = make_database(DUAL)
    plant(database, DUAL)
    database.rows("update token_events set is_voided = null, created_at = null where notes is null")
    apply(database, time_zone=ZONE)
    holds(database)
    filled = "select count(*) from token_events where created_at is null or is_voided is null"
    assert database.value(filled) == 0


def test_two_voids_of_one_event_become_one(make_database: MakeDatabase) -> None:
    database = make_database(DUAL)
    user, _ = plant(database, DUAL)
    database.rows(
        "insert into token_events (user_id, event_type, event_date, kwh_amount, void_of_event)"
        " select user_id, 'VOID', event_date + interval '1 day', 0, void_of_event"
        " from token_events where event_type = 'VOID' and user_id = %s",
        (user,),
    )
    there = contents(database)["token_events"]
    apply(database, time_zone=ZONE)
    marked = database.value(
        "select voided_reason from token_events where event_type = 'VOID' and is_voided"
    )
    assert re.fullmatch("repeats void [0-9a-f-]{36}", marked)
    roll_everything_back(database)
    assert contents(database)["token_events"] == there


def test_an_index_build_that_was_cut_off_is_built_again(make_database: MakeDatabase) -> None:
    """Killed, CREATE INDEX CONCURRENTLY leaves an invalid index, which 'if not exists' skips."""
    database = make_database(DUAL)
    plant(database, DUAL)
    apply(database, before(KEYS), time_zone=ZONE)
    with database.admin() as connection:
        connection.execute(
            "update pg_index set indisvalid = false where indexrelid = any (array["
            "'token_events_tenant_pkey', 'token_events_visible_id', 'token_events_order'"
            "]::regclass[])"
        )
    with database.connect() as connection, pytest.raises(FindingsError, match="missing or invalid"):
        verify(connection, before(KEYS))
    apply(database, time_zone=ZONE)
    holds(database)
