"""A rollback says what it would lose, loses no more, and goes on where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from tests.support.backfill import Said
from tests.support.database import Database
from tests.support.household import ZONE, named, plant
from tests.support.processes import python, wait_until
from tests.support.rollout import apply, history, table_texts
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from toolkit.errors import FindingsError, OperationalError, UsageError
from toolkit.operations.backfill import BackfillOptions, plan_backfill, run_backfill
from toolkit.operations.rollback import Fate, plan_rollback, run_rollback
from toolkit.operations.rollback.counting import KNOWN_TABLES
from toolkit.operations.rollback.steps import find_target, steps_to
from toolkit.rollout import phases

Rolled = tuple[Database, UUID, UUID]
VERSIONS = [phase.version for phase in phases()]
_COMMAND = """
import sys
from toolkit.operations.rollback import run_rollback
class Observer:
    def step(self, name): print(name, flush=True)
    def note(self, text): pass
    def progress(self, done, total): pass
run_rollback(sys.argv[1], sys.argv[2], Observer())
"""


@pytest.fixture
def rolled_out(make_database: MakeDatabase) -> Callable[..., Rolled]:
    def make(start: StartingPoint = StartingPoint.DUAL_WRITE) -> Rolled:
        database = make_database(start)
        user, other = plant(database, start)
        apply(database, time_zone=ZONE)
        return database, user, other

    return make


def test_the_data_goes_first_then_the_schema_newest_first() -> None:
    known = phases()

    def versions(to: str, applied: list[str] = VERSIONS, *, data: bool = False) -> list[str]:
        target = find_target(to, known)
        steps = steps_to(target, known, applied, data_is_there=data)
        return [step.phase.version for step in steps]

    data, install = "20261101000401", "20261101000400"
    assert versions("data") == [data]
    assert versions("nothing") == [data, *(v for v in reversed(VERSIONS) if v != data)]
    assert versions("install_data_migration")[0] == data
    assert versions("install_data_migration")[-1] > install
    assert versions(VERSIONS[-1]) == []
    assert versions("data", []) == []
    assert versions("data", [], data=True) == [data]
    assert versions("nothing", VERSIONS[:2]) == [VERSIONS[1], VERSIONS[0]]
    assert versions("20261101000000_baseline", VERSIONS[:2]) == [VERSIONS[1]]
    with pytest.raises(UsageError, match="no phase 'elsewhere'") as refused:
        versions("elsewhere")
    assert "data, nothing, or the last phase that stays: baseline" in refused.value.next_step


def test_every_table_of_the_ledger_has_somebody_who_thinks_of_it(db: Database) -> None:
    """A new phase's table counts as lost at the end until somebody says what becomes of it."""
    tables = db.rows(
        "select relname from pg_class where relnamespace = 'ledger'::regnamespace"
        " and relkind in ('r', 'p', 'm')"
    )
    assert {row[0] for row in tables} == set(KNOWN_TABLES)


def test_a_plan_changes_nothing_and_counts_what_it_touches(
    rolled_out: Callable[..., Rolled],
) -> None:
    database, user, _ = rolled_out()
    new_event(database, user, "new")
    plan = plan_rollback(database.url, "nothing")
    assert (plan.lost, plan.obstacles) == (0, ())
    counts = {held.name: (held.fate, held.count) for held in plan.holdings}
    assert counts["migrated"] == (Fate.DERIVED, 14)
    assert counts["merged"] == (Fate.STAYS, 2)
    assert counts["events_since"] == (Fate.STAYS, 1)
    assert history(database) == VERSIONS


def test_taking_the_data_back_leaves_the_schema_and_a_backfill_moves_it_again(
    rolled_out: Callable[..., Rolled],
) -> None:
    database, user, _ = rolled_out()
    event = new_event(database, user, "new")
    report = run_rollback(database.url, "data", Said())
    assert report.undone == ("migrate_data",)
    assert history(database) == [v for v in VERSIONS if v != "20261101000401"]
    assert database.value("select count(*) from ledger.migrated_readings") == 0
    assert database.value("select count(*) from token_events where id = %s", (event,)) == 1
    assert run_rollback(database.url, "data", Said()).undone == ()
    # The run from before the undoing is over, and a new one is begun.
    assert plan_backfill(database.url).open_run is None
    moved = run_backfill(database.url, BackfillOptions(share=1), Said())
    assert (moved.finished, moved.resumed, moved.migrated) == (True, False, 16)
    assert run_rollback(database.url, "data", Said()).undone == ("migrate_data",)


def test_an_unfinished_run_is_not_continued_after_the_data_went_back(
    make_database: MakeDatabase,
) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    users = plant(database, StartingPoint.DUAL_WRITE)
    apply(database, time_zone=ZONE, defer_backfill=True)
    first = database.value("select ledger.start_migration()")
    database.rows("select ledger.migrate_users(%s, %s)", (first, users[:1]))
    run_rollback(database.url, "data", Said())
    moved = run_backfill(database.url, BackfillOptions(share=1), Said())
    assert moved.run_id != first
    assert not moved.resumed


def test_what_would_be_lost_stops_it_and_names_the_number(
    rolled_out: Callable[..., Rolled],
) -> None:
    """A void of a migrated event and a receipt: set aside, and lost with the schema at the end."""
    database, user, _ = rolled_out()
    void(database, user, named(user, "first"))
    database.rows(
        "insert into ledger.receipts (environment, body, signature) values ('a', '{}', '')"
    )
    plan = plan_rollback(database.url, "nothing")
    lost = {held.name: (held.version, held.count) for held in plan.losses}
    # The VOID event and the voided event, whole, and the receipt.
    assert lost == {"set_aside": ("20261101000000", 3)}
    for allowed in (None, 1, 4):
        with pytest.raises(FindingsError, match="would lose 3 rows") as stopped:
            run_rollback(database.url, "nothing", Said(), allow_loss=allowed)
        assert "--allow-loss 3" in stopped.value.next_step
        assert "3 rows in ledger.set_aside" in stopped.value.details[0]
    assert history(database) == VERSIONS

    only_aside = plan_rollback(database.url, "install_data_migration")
    assert only_aside.lost == 0
    held = {held.name: (held.fate, held.count) for held in only_aside.holdings}
    assert held["voids_and_references"] == (Fate.ASIDE, 2)
    assert held["receipts"] == (Fate.ASIDE, 1)
    run_rollback(database.url, "install_data_migration", Said())
    assert database.value("select count(*) from ledger.set_aside where settled_at is null") == 3
    report = run_rollback(database.url, "nothing", Said(), allow_loss=3)
    assert report.plan.lost == 3
    assert history(database) == []
    assert database.value("select to_regnamespace('ledger')") is None


def test_a_number_for_nothing_stops_it_too(rolled_out: Callable[..., Rolled]) -> None:
    database, _, _ = rolled_out()
    with pytest.raises(FindingsError, match="lose 0 rows, and 5 were allowed"):
        run_rollback(database.url, "data", Said(), allow_loss=5)
    assert history(database) == VERSIONS


@pytest.mark.parametrize(
    ("planted", "name", "count"),
    [
        ("events", "events", 2),
        ("batches", "batches", 1),
        ("readings", "readings", 1),
        ("profiles", "profiles", 1),
        ("waived", "waived_rejects", 1),
        ("matches", "set_aside", 1),
        ("strange", "strange_tables", 3),
    ],
)
def test_each_kind_of_loss_is_found_and_may_be_allowed(
    make_database: MakeDatabase, planted: str, name: str, count: int
) -> None:
    """From nothing: every table is the rollout's own, and goes in the end."""
    database = make_database(StartingPoint.EMPTY)
    apply(database, time_zone=ZONE)
    user = database.add_user()
    assert plan_rollback(database.url, "nothing").lost == 0
    statements = {
        "events": "select 1",
        "batches": "insert into recalculation_batches (user_id, trigger_type, affected_events,"
        " events_count) values (%(user)s, 'EDIT_TOPUP', '[]', 0)",
        "readings": "insert into electricity_readings (user_id, date, kwh_value)"
        " values (%(user)s, '2026-01-01', 5)",
        "profiles": "update user_profiles set display_name = 'somebody' where id = %(user)s",
        "waived": "insert into ledger.migration_rejects (reading_id, user_id, reason, row_data,"
        " waived_at) select id, user_id, 'no date', '{}', now() from electricity_readings",
        "matches": "insert into ledger.reviewed_matches (user_id, event_id, reading_id, decision,"
        " reason) values (%(user)s, %(user)s, %(user)s, 'both', 'seen')",
        "strange": 'create table ledger."odd.name" as select generate_series(1, 3)',
    }
    if planted == "events":
        new_event(database, user, "one")
        void(database, user, new_event(database, user, "two"), whole=False)
    database.rows(
        statements[planted], {"user": user} if "%(user)s" in statements[planted] else None
    )
    if planted == "waived":  # no legacy row stands behind it either
        database.rows(
            "insert into ledger.migration_rejects (reading_id, reason, row_data, waived_at)"
            " values (%s, 'no date', '{}', now())",
            (user,),
        )
    plan = plan_rollback(database.url, "nothing")
    lost = {held.name: held.count for held in plan.losses}
    assert lost[name] == count
    with pytest.raises(FindingsError, match=f"lose {plan.lost} rows"):
        run_rollback(database.url, "nothing", Said())
    assert history(database) == VERSIONS
    run_rollback(database.url, "nothing", Said(), allow_loss=plan.lost)
    assert history(database) == []
    for table in ("token_events", "electricity_readings", "user_profiles"):
        assert database.value("select to_regclass(%s)", (f"public.{table}",)) is None


def test_what_somebody_writes_after_the_plan_stops_the_step_that_would_lose_it(
    make_database: MakeDatabase,
) -> None:
    database = make_database(StartingPoint.EMPTY)
    apply(database, time_zone=ZONE)
    user = database.add_user()

    class WritesMeanwhile(Said):
        def step(self, name: str) -> None:
            if name == "roll back create_event_sourcing_tables":
                database.rows(
                    "insert into token_events (user_id, event_type, event_date, kwh_amount)"
                    " values (%s, 'TOPUP', now(), 5)",
                    (user,),
                )

    with pytest.raises(FindingsError, match=r"would lose 1 events in .* had said 0") as stopped:
        run_rollback(database.url, "nothing", WritesMeanwhile())
    assert "--plan" in stopped.value.next_step
    assert history(database) == VERSIONS[:2]
    assert plan_rollback(database.url, "nothing").lost == 1
    run_rollback(database.url, "nothing", Said(), allow_loss=1)
    assert history(database) == []


def test_ids_that_two_users_share_are_an_obstacle(rolled_out: Callable[..., Rolled]) -> None:
    database, user, other = rolled_out()
    event = new_event(database, user, "new")
    new_event(database, other, "new", id_=event)
    plan = plan_rollback(database.url, "nothing")
    assert plan.obstacles[0].text.startswith("1 ids are shared by events of several")
    with pytest.raises(FindingsError, match="cannot be done") as stopped:
        run_rollback(database.url, "nothing", Said(), allow_loss=1)
    assert "--to 20261101000104" in stopped.value.next_step
    run_rollback(database.url, "use_tenant_safe_keys", Said())
    assert history(database)[-1] == "20261101000104"


def test_a_view_of_the_app_on_ours_stops_it_and_is_named(
    rolled_out: Callable[..., Rolled],
) -> None:
    database, _, _ = rolled_out()
    database.rows("create view public.mine as select * from public.electricity_readings_v")
    with pytest.raises(FindingsError, match="other objects depend on") as stopped:
        run_rollback(database.url, "baseline", Said())
    assert any("view mine" in line for line in stopped.value.details)
    database.rows("drop view public.mine")
    run_rollback(database.url, "baseline", Said())
    assert history(database) == VERSIONS[:1]


def test_an_app_that_was_cut_over_is_cut_back_first(db: Database) -> None:
    db.rows(
        "alter table electricity_readings rename to archived;"
        "create view electricity_readings as select * from archived"
    )
    with pytest.raises(FindingsError, match="has been cut over"):
        run_rollback(db.url, "nothing", Said())


def test_one_deploy_or_rollback_at_a_time(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.operations.backfill.lock.PATIENCE_SECONDS", 0.0)
    for lock in ("meterledger.deploy", "meterledger.backfill"):
        with db.connect(autocommit=True, name="meterledger deploy") as other:
            other.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (lock,))
            with pytest.raises(OperationalError, match="meterledger deploy of postgres"):
                run_rollback(db.url, "data", Said())


def test_a_step_that_must_wait_is_tried_again(rolled_out: Callable[..., Rolled]) -> None:
    database, _, _ = rolled_out()
    with database.connect() as reader:
        reader.execute("select from ledger.refresh_log")

        def let_go(text: str) -> None:
            if text.startswith("another session came first"):
                reader.rollback()

        said = Said(at_note=let_go)
        report = run_rollback(database.url, "20261101000200", said)
    assert report.retries == 1
    assert history(database)[-1] == "20261101000200"


@pytest.mark.parametrize("how", ["kill -9", "terminate"])
def test_interrupted_in_the_middle_it_goes_on(rolled_out: Callable[..., Rolled], how: str) -> None:
    """Stopped in the undoing of the data, after it has taken its turns."""
    database, user, _ = rolled_out()
    with database.connect() as connection:
        before = table_texts(connection, "public", "token_events")
    with database.connect() as holder:
        holder.execute("select from token_events where user_id = %s for update", (user,))
        process = python(_COMMAND, database.url, "nothing")
        wait_until(lambda: blocked(database) is not None)
        if how == "kill -9":
            process.kill()
        else:
            database.rows("select pg_terminate_backend(%s)", (blocked(database),))
        process.communicate(timeout=60)
        assert process.returncode != 0
        wait_until(lambda: blocked(database) is None)
    with database.connect() as connection:
        assert table_texts(connection, "public", "token_events") == before
    assert history(database) == VERSIONS
    run_rollback(database.url, "nothing", Said())
    assert history(database) == []


def test_killed_at_every_step_it_goes_on(rolled_out: Callable[..., Rolled]) -> None:
    database, _, _ = rolled_out()
    for left in range(len(VERSIONS), 0, -1):
        with python(_COMMAND, database.url, "nothing") as process:
            assert process.stdout is not None
            process.stdout.readline()
            wait_until(lambda left=left: len(history(database)) < left)  # type: ignore[misc]
            process.kill()
            process.communicate(timeout=60)
        wait_until(lambda: at_work(database) == 0)
        if not history(database):
            break
    assert history(database) == []
    assert database.value("select to_regnamespace('ledger')") is None


def new_event(database: Database, user: UUID, name: str, *, id_: UUID | None = None) -> UUID:
    """What a new client writes."""
    event = id_ or named(user, name)
    with database.as_user(user) as request:
        request.execute(
            "insert into token_events (id, user_id, event_type, event_date, kwh_amount, created_by)"
            " values (%s, %s, 'TOPUP', now(), 7, %s)",
            (event, user, user),
        )
    return event


def void(database: Database, user: UUID, event: UUID, *, whole: bool = True) -> None:
    """What a client does to take an event back: mark it, and record the VOID."""
    with database.as_user(user) as request:
        request.execute(
            "update token_events set is_voided = true, voided_at = now(), voided_by = %s,"
            " voided_reason = 'wrong' where id = %s",
            (user, event),
        )
        if whole:
            request.execute(
                "insert into token_events"
                " (user_id, event_type, event_date, kwh_amount, void_of_event, created_by)"
                " values (%s, 'VOID', now(), 0, %s, %s)",
                (user, event, user),
            )


def blocked(database: Database) -> int | None:
    rows = database.rows(
        "select pid from pg_stat_activity where application_name = 'meterledger rollback'"
        " and cardinality(pg_blocking_pids(pid)) > 0 and datname = current_database()"
    )
    return rows[0][0] if rows else None


def at_work(database: Database) -> int:
    count: int = database.value(
        "select count(*) from pg_stat_activity where application_name = 'meterledger rollback'"
        " and datname = current_database()"
    )
    return count
