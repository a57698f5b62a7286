"""Rolled out, written to, rolled back and rolled out again: nothing that was written is missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tests.support.backfill import Said, Writer, waiting_for_backfill
from tests.support.database import Database
from tests.support.household import ZONE, named, plant, put_readings
from tests.support.rollout import history, table_texts
from tests.support.servers import Databases, MakeDatabase
from tests.support.typing_in import TypesProgram, types_as_a_program
from toolkit.bootstrap import StartingPoint
from toolkit.errors import FindingsError
from toolkit.operations.backfill import BackfillOptions, run_backfill
from toolkit.operations.rollback import plan_rollback, run_rollback
from toolkit.rollout import phases, push
from toolkit.validation.run import validate

VERSIONS = [phase.version for phase in phases()]
# A found table keeps its rows in its own columns; ours may stay beside them.
_OURS = "'{observed_kwh,reading_id,idempotency_key,legacy_token_amount}'::text[]"


@pytest.mark.parametrize("start", list(StartingPoint), ids=lambda start: start.value)
def test_the_full_circle(make_database: MakeDatabase, start: StartingPoint, major: int) -> None:
    database = make_database(start, major=major)
    user, other = plant(database, start)
    found = events(database) if start is StartingPoint.DUAL_WRITE else []
    push(database.url, time_zone=ZONE)

    written = new_clients_write(database, user)
    migrated = legacy_clients_write(database, start, user, other)
    legacy = readings(database)
    made = start is not StartingPoint.DUAL_WRITE

    # As far back as nothing is lost: where token_events is ours, it holds what clients wrote.
    far = "create_event_sourcing_tables" if made else "baseline"
    assert plan_rollback(database.url, far).lost == 0
    run_rollback(database.url, far, Said())
    assert history(database) == [
        v for v in VERSIONS if v <= ("20261101000100" if made else "20261101000000")
    ]
    assert readings(database) == legacy
    assert events(database, written) == sorted(written.values())
    assert [e for e in events(database) if e not in written.values()] == found
    aside = database.value("select count(*) from ledger.set_aside where kind <> 'migration run'")
    assert aside == (2 if migrated else 0)

    push(database.url, time_zone=ZONE)
    assert history(database) == VERSIONS
    holds(database, written)
    assert readings(database) == legacy

    # And all the way, losing exactly what the plan names.
    plan = plan_rollback(database.url, "nothing")
    if plan.lost:
        with pytest.raises(FindingsError, match=f"would lose {plan.lost} rows"):
            run_rollback(database.url, "nothing", Said())
    expected = {"set_aside": aside} if aside else {}
    if made:
        expected["events"] = len(written)
    if start is StartingPoint.EMPTY:
        expected["readings"] = len(legacy)
    assert {held.name: held.count for held in plan.losses} == expected
    run_rollback(database.url, "nothing", Said(), allow_loss=plan.lost or None)
    assert history(database) == []
    if start is not StartingPoint.EMPTY:
        assert readings(database) == legacy
    if not made:
        assert [e for e in events(database) if e not in written.values()] == found

    push(database.url, time_zone=ZONE)
    holds(database, {} if made else written)


def new_clients_write(database: Database, user: UUID) -> dict[UUID, str]:
    """A top-up, and another with its void; each event as it stands then."""
    kept, regretted, void = uuid4(), uuid4(), uuid4()
    insert = (
        "insert into token_events (id, user_id, event_type, event_date, kwh_amount, void_of_event,"
        " idempotency_key, created_by) values (%s, %s, %s, '2026-03-04', %s, %s, %s, %s)"
    )
    with database.as_user(user) as request:
        request.execute(insert, (kept, user, "TOPUP", 7, None, "once", user))
        request.execute(insert, (regretted, user, "TOPUP", 8, None, None, user))
    with database.as_user(user) as request:
        request.execute(insert, (void, user, "VOID", 0, regretted, None, user))
        mark_voided(request, user, regretted)
    ids = [kept, regretted, void]
    return dict(zip(ids, (event(database, id_) for id_ in ids), strict=True))


def legacy_clients_write(database: Database, start: StartingPoint, user: UUID, other: UUID) -> bool:
    """An insert, an update, a delete and the void of a migrated event; whether there was one."""
    row = {"id": uuid4(), "user_id": other, "date": "2026-02-03", "kwh_value": "5.50"}
    with database.as_user(other) as request:
        put_readings(request, [row])
    if start is StartingPoint.EMPTY:
        return False
    with database.as_user(other) as request:
        request.execute(
            "update electricity_readings set kwh_value = 61, notes = 'corrected' where id = %s",
            (named(other, "zero"),),
        )
        request.execute("delete from electricity_readings where id = %s", (named(other, "twice"),))
    with database.as_user(user) as request:
        mark_voided(request, user, named(user, "first"))
        request.execute(
            "insert into token_events (user_id, event_type, event_date, kwh_amount, void_of_event,"
            " created_by) values (%s, 'VOID', now(), 0, %s, %s)",
            (user, named(user, "first"), user),
        )
    return True


def mark_voided(request: object, user: UUID, event_id: UUID) -> None:
    request.execute(  # type: ignore[attr-defined]
        "update token_events set is_voided = true, voided_at = now(), voided_by = %s,"
        " voided_reason = 'wrong' where id = %s",
        (user, event_id),
    )


def holds(database: Database, written: dict[UUID, str]) -> None:
    report = validate(database.url)
    assert report.valid, [check for check in report.checks if check.verdict.value == "fail"]
    assert events(database, written) == sorted(written.values())


def events(database: Database, only: dict[UUID, str] | None = None) -> list[str]:
    return sorted(
        row[0]
        for row in database.rows(
            f"select (to_jsonb(e) - {_OURS})::text from token_events as e"  # noqa: S608 - ours
            " where %(ids)s::uuid[] is null or e.id = any (%(ids)s)",
            {"ids": None if only is None else list(only)},
        )
    )


def event(database: Database, id_: UUID) -> str:
    (text,) = events(database, {id_: ""})
    return text


def readings(database: Database) -> list[str]:
    with database.connect() as connection:
        return table_texts(connection, "public", "electricity_readings")


@pytest.fixture
def filled(databases: Callable[[int], Databases]) -> Iterator[Database]:
    with databases(17).copy(waiting_for_backfill(databases(17))) as copy:
        run_backfill(copy.url, BackfillOptions(share=1), Said())
        yield copy


def test_an_app_that_writes_through_a_rollback_of_the_data_loses_no_write(
    filled: Database,
) -> None:
    with Writer(filled, 0) as first, Writer(filled, 1) as second:
        run_rollback(filled.url, "data", Said())
        run_backfill(filled.url, BackfillOptions(batch_rows=50, share=0.5), Said())
        run_rollback(filled.url, "create_materialized_view", Said())
    assert not first.errors + second.errors
    kept = {**first.kept, **second.kept}
    there = {
        (user, id_): kwh
        for user, id_, kwh in filled.rows("select user_id, id, kwh_value from electricity_readings")
    }
    assert len(kept) > 20
    assert {key: there.get(key) for key in kept} == kept
    assert not (first.deleted | second.deleted) & set(there)
    push(filled.url, time_zone=ZONE)
    assert validate(filled.url).valid


@pytest.fixture
def types(filled: Database, tmp_path: Path) -> TypesProgram:
    """Types the command in a folder that knows the database as production."""
    return types_as_a_program("rollback", tmp_path, filled.url, "production")


def test_the_command_plans_asks_and_rolls_back(types: TypesProgram, filled: Database) -> None:
    assert types("production").code == 2  # no --to
    assert types("production", "--to", "elsewhere").code == 2

    plan = types("production", "--to", "data", "--plan")
    assert plan.code == 0
    assert "the data migration" in plan.out
    assert "made again: 6" in plan.out
    assert plan.out.rstrip().endswith("lost: nothing")
    filled.rows("insert into ledger.receipts (environment, body, signature) values ('a', '{}', '')")
    red = types("production", "--to", "nothing", "--plan", "--json")
    assert red.code == 1
    answer = json.loads(red.out)
    assert (answer["lost"], answer["steps"][0]["name"]) == (1, "migrate_data")

    stopped = types("production", "--to", "nothing", "--confirm", "production")
    assert stopped.code == 1
    assert "would lose 1 rows that exist nowhere else" in stopped.err
    assert "--allow-loss 1" in stopped.err
    assert types("production", "--to", "data", "--yes").code == 2  # protected: not enough
    assert history(filled) == VERSIONS
    done = types("production", "--to", "data", "--confirm", "production")
    assert done.code == 0
    assert "taken back: migrate_data" in done.out
    again = types("production", "--to", "data", "--confirm", "production", "--json")
    assert (again.code, json.loads(again.out)["undone"]) == (0, [])
    all_of_it = ("--to", "nothing", "--confirm", "production", "--allow-loss", "1")
    assert types("production", *all_of_it).code == 0
    assert history(filled) == []
    password = filled.url.split(":")[2].split("@")[0]
    assert password not in plan.out + plan.err + stopped.err + done.err
