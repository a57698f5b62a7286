"""The doctor: quiet on every edition; each trouble planted, found, mended, and quiet again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.support.database import Database
from tests.support.editions import EDITIONS, Edition, edition_name
from tests.support.events import TOPUP, record
from tests.support.processes import wait_until
from tests.support.proven import proven, proven_copy
from tests.support.rollout import DATA_PHASE, apply
from tests.support.servers import Databases, MakeDatabase, Template, default_major
from toolkit.bootstrap import StartingPoint
from toolkit.local.temporary import temporary_server
from toolkit.operations.doctor import (
    Diagnosis,
    Extent,
    Outcome,
    Question,
    State,
    Trouble,
    diagnose,
    treat,
)
from toolkit.rollout import checksums
from toolkit.rollout.phases import phases
from toolkit.rollout.standing import Data

AT_ONCE = Question(idle_seconds=0)
HISTORY = "supabase_migrations.schema_migrations"
RECORDS = "20261101000500"
VISIBLE_ID = "20261101000102"


def diagnosed(database: Database, question: Question | None = None) -> Diagnosis:
    with database.connect(autocommit=True) as connection:
        return diagnose(connection, question)


def found(database: Database, question: Question | None = None) -> tuple[Trouble, ...]:
    diagnosis = diagnosed(database, question)
    assert diagnosis.unseen == ()
    return diagnosis.troubles


def run_repair(database: Database, trouble: Trouble) -> None:
    """Type a printed repair in, word by word."""
    with database.admin(autocommit=True) as connection:
        connection.execute(trouble.repair.encode())


@pytest.mark.parametrize("edition", EDITIONS, ids=edition_name)
def test_quiet_on_every_edition(databases: Callable[[int], Databases], edition: Edition) -> None:
    major, point, regime = edition
    owner = databases(major)
    database = owner.make(Template(starting_point=point, regime=regime))
    apply(database)
    diagnosis = diagnosed(database)
    owner.drop(database)

    assert (diagnosis.troubles, diagnosis.unseen) == ((), ())
    assert diagnosis.well


def test_quiet_on_a_migrated_database_with_every_hard_case(
    databases: Callable[[int], Databases], major: int
) -> None:
    assert diagnosed(proven(databases(major))).well


def test_quiet_after_the_real_cli(db: Database) -> None:
    assert diagnosed(db).well


@pytest.fixture(scope="module")
def database(databases: Callable[[int], Databases]) -> Iterator[Database]:
    """With data in it; each test leaves it well."""
    with proven_copy(databases(default_major())) as copy:
        yield copy
        assert diagnosed(copy).well


@dataclass(frozen=True)
class Planted:
    """A trouble: what is done as the superuser, who finds it, and what the repair says."""

    plant: str
    check: str
    says: str
    repair: str


def forgetting(version: str) -> str:
    return f"delete from supabase_migrations.schema_migrations where version = '{version}'"  # noqa: S608


SAFE = {
    "a lost grant": Planted(
        "revoke select on ledger.readings from authenticated",
        "grants",
        "authenticated has lost select on ledger.readings",
        "grant select on ledger.readings to authenticated;",
    ),
    "lost grants of columns": Planted(
        "revoke insert (notes, kwh_amount) on public.token_events from service_role",
        "grants",
        "service_role has lost insert (kwh_amount, notes) on public.token_events",
        "grant insert (kwh_amount, notes) on token_events to service_role;",
    ),
    "a lost right to void": Planted(
        "revoke update (is_voided) on public.token_events from authenticated",
        "grants",
        "authenticated has lost update (is_voided)",
        "grant update (is_voided) on token_events to authenticated;",
    ),
    "a lost right to call": Planted(
        "revoke execute on function public.calculate_user_positions(uuid) from authenticated",
        "grants",
        "authenticated has lost execute on public.calculate_user_positions(uuid)",
        "grant execute on function calculate_user_positions(uuid) to authenticated;",
    ),
    "a lost schema": Planted(
        "revoke usage on schema ledger from authenticated",
        "grants",
        "authenticated has lost usage on schema ledger",
        "grant usage on schema ledger to authenticated;",
    ),
    "the materialized view lost its unique index": Planted(
        "drop index public.electricity_readings_mv_key;"
        "create index not_unique on public.electricity_readings_mv (user_id)",
        "materialized_view",
        "has lost its unique index",
        "create unique index electricity_readings_mv_key",
    ),
    "the materialized view is not populated": Planted(
        "refresh materialized view public.electricity_readings_mv with no data",
        "materialized_view",
        "is not populated",
        "refresh materialized view public.electricity_readings_mv;",
    ),
    "a trigger is switched off": Planted(
        "alter table public.token_events disable trigger token_events_guard_update",
        "triggers",
        "token_events_guard_update of token_events is switched off",
        "alter table token_events enable trigger token_events_guard_update;",
    ),
    "row level security is off": Planted(
        "alter table ledger.readings disable row level security",
        "row_level_security",
        "row level security is off on ledger.readings",
        "alter table ledger.readings enable row level security;",
    ),
    "a leftover of maintenance": Planted(
        "insert into ledger.maintenance (xact_id, purpose) values ('3', 'left')",
        "maintenance",
        "transaction 3 (left), which has ended",
        "delete from ledger.maintenance where xact_id = '3';",
    ),
    "a run without a runner, with nothing left to move": Planted(
        "insert into ledger.migration_runs (kind) values ('migrate')",
        "runs",
        "never ended, and nobody works on it",
        "select ledger.finish_migration(",
    ),
    "a projection that differs from the events": Planted(
        "update ledger.readings set kwh_value = kwh_value + 1"
        " where id = (select id from ledger.readings order by id limit 1)",
        "projection",
        "differs from the events in 2 rows of 1 users",
        "select ledger.project_everything(",
    ),
    "a projection that differs everywhere": Planted(
        "update ledger.readings set notes = 'changed'",
        "projection",
        "differs from the events",
        "select ledger.project_everything(",
    ),
    "a row of the history is gone": Planted(
        forgetting(RECORDS),
        "history",
        "is applied, and the history does not say so",
        f"insert into {HISTORY}",
    ),
    "a row of the history is gone, killed after a concurrent build": Planted(
        forgetting(VISIBLE_ID),
        "history",
        "20261101000102_index_token_events_visible_id.sql is applied",
        f"insert into {HISTORY}",
    ),
}


def plant(database: Database, statements: str) -> None:
    with database.admin(autocommit=True) as connection:
        connection.execute(statements.encode())


@pytest.mark.parametrize("name", SAFE)
def test_a_safe_repair_is_printed_and_works_as_printed(database: Database, name: str) -> None:
    planted = SAFE[name]
    assert diagnosed(database).well
    plant(database, planted.plant)

    (trouble, *_) = troubles = found(database)
    assert {one.name for one in troubles} == {planted.check}
    assert planted.says in trouble.text
    assert trouble.repair.replace("public.", "").startswith(planted.repair.replace("public.", ""))
    assert trouble.safe

    for one in troubles:
        run_repair(database, one)
    drop = "drop index if exists public.not_unique"
    plant(database, drop)
    assert diagnosed(database).well


@pytest.mark.parametrize("name", SAFE)
def test_fix_mends_it(database: Database, name: str) -> None:
    plant(database, SAFE[name].plant)
    with database.connect(autocommit=True) as connection:
        left, treatments = treat(connection, diagnose(connection))
    plant(database, "drop index if exists public.not_unique")

    assert left.well
    assert treatments
    assert {one.outcome for one in treatments} == {Outcome.FIXED}


def test_an_owner_that_is_another(database: Database) -> None:
    plant(database, "grant supabase_admin to postgres")
    plant(database, "alter table ledger.heads owner to supabase_admin")
    try:
        (trouble,) = found(database)
        assert (
            trouble.text
            == "table ledger.heads belongs to supabase_admin, and the ledger to postgres"
        )
        assert trouble.repair == "alter table ledger.heads owner to postgres;"
        run_repair(database, trouble)
    finally:
        plant(database, "revoke supabase_admin from postgres")
    assert diagnosed(database).well


def test_an_owner_that_row_level_security_binds(database: Database) -> None:
    plant(database, "alter role postgres nobypassrls")
    try:
        (trouble, *_) = diagnosed(database).troubles
        assert (trouble.name, trouble.safe) == ("owners", False)
        run_repair(database, trouble)
    finally:
        plant(database, "alter role postgres bypassrls")
    assert diagnosed(database).well


def test_an_index_that_a_cut_off_build_left_invalid(database: Database) -> None:
    plant(
        database,
        "update pg_index set indisvalid = false"
        " where indexrelid = 'public.token_events_order'::regclass",
    )
    (trouble,) = found(database)
    assert trouble.text == (
        "index token_events_order of token_events is invalid: a build of it was cut off"
    )
    assert trouble.alone
    with database.connect(autocommit=True) as connection:
        left, (treatment,) = treat(connection, diagnose(connection))

    assert treatment.outcome is Outcome.FIXED
    assert left.well


def test_a_leftover_of_a_cut_off_reindex_goes(database: Database) -> None:
    plant(
        database,
        "create index token_events_order_ccnew on public.token_events (user_id);"
        "update pg_index set indisvalid = false"
        " where indexrelid = 'public.token_events_order_ccnew'::regclass",
    )
    (trouble,) = found(database)
    assert trouble.repair == "drop index concurrently token_events_order_ccnew;"
    run_repair(database, trouble)
    assert diagnosed(database).well


def test_a_table_that_row_level_security_would_shut_is_left_to_a_person(
    make_database: MakeDatabase,
) -> None:
    database = make_database(StartingPoint.LEGACY_ONLY)
    apply(database)
    plant(database, "alter table public.user_profiles disable row level security")
    assert [one.safe for one in found(database)] == [True]  # it has policies

    for (name,) in database.rows(
        "select policyname from pg_policies where tablename = 'user_profiles'"
    ):
        plant(database, f'drop policy "{name}" on public.user_profiles')
    assert [one.safe for one in found(database)] == [False]


def test_a_grant_waits_for_row_level_security(database: Database) -> None:
    plant(
        database,
        "alter table public.token_events disable row level security;"
        "revoke select on public.token_events from authenticated",
    )
    before = {trouble.name: trouble.safe for trouble in found(database)}
    with database.connect(autocommit=True) as connection:
        left, treatments = treat(connection, diagnose(connection))

    assert before == {"row_level_security": True, "grants": False}
    assert [one.trouble.name for one in treatments] == ["row_level_security", "grants"]
    assert left.well


def test_a_history_row_without_objects(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    apply(database)
    plant(database, "drop view ledger.open_matches; drop table ledger.reviewed_matches")

    (trouble,) = found(database)
    assert "20261101000500_record_operations.sql was applied, and it lacks" in trouble.text
    assert "table ledger.reviewed_matches, view ledger.open_matches" in trouble.text
    assert not trouble.safe
    assert trouble.repair.endswith("then: meterledger deploy ENV --defer-backfill")

    forget = trouble.repair.removeprefix("run: ").partition(";")[0]
    plant(database, forget)
    apply(database, [phase for phase in phases() if phase.version >= RECORDS])  # as deploy does
    assert diagnosed(database).well


def test_an_old_phase_is_forgotten_with_all_that_came_after_it(
    make_database: MakeDatabase,
) -> None:
    database = make_database(StartingPoint.EMPTY)
    apply(database)
    plant(database, "drop function public.calculate_user_positions(uuid)")

    (trouble,) = [one for one in diagnosed(database).troubles if one.name == "history"]
    plant(database, trouble.repair.removeprefix("run: ").partition(";")[0])
    left = {
        version
        for (version,) in database.rows("select version from supabase_migrations.schema_migrations")
    }
    again = [phase for phase in phases() if phase.version not in left]
    apply(database, again)

    assert again[0].version == "20261101000200"
    assert again[-1] == phases()[-1]
    assert diagnosed(database).well


def test_a_half_applied_phase(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.EMPTY)
    apply(database)
    plant(
        database,
        f"{forgetting(RECORDS)}; drop view ledger.open_matches",
    )
    (trouble,) = found(database)
    assert "is half applied: it lacks view ledger.open_matches" in trouble.text
    assert (trouble.safe, trouble.repair) == (False, "meterledger deploy ENV --defer-backfill")

    apply(database, [phase for phase in phases() if phase.version >= RECORDS])
    assert diagnosed(database).well


def test_a_phase_that_was_skipped_is_never_called_applied(make_database: MakeDatabase) -> None:
    """The data phase makes no objects: only a run of the data migration says that it was there."""
    database = make_database(StartingPoint.DUAL_WRITE)
    apply(database, [phase for phase in phases() if phase.version != DATA_PHASE])

    (trouble,) = found(database)
    assert trouble.text == "the rollout is not complete: never applied: migrate_data"
    assert not trouble.safe
    plant(database, "update ledger.settings set time_zone = 'UTC'")
    database.rows("select ledger.migrate_data()")
    assert diagnosed(database).well


def test_a_history_that_is_gone(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.EMPTY)
    apply(database)
    plant(database, "drop schema supabase_migrations cascade")

    (trouble,) = found(database)
    assert "is gone" in trouble.text
    assert not trouble.safe


def test_an_edited_file(database: Database) -> None:
    phase = phases()[3]
    with database.connect() as connection:
        checksums.record(connection, phase, deployed_by="me@here", details={})
    assert diagnosed(database).well
    plant(database, "update ledger.deployments set checksum = 'f00d'")

    (trouble,) = found(database)
    assert trouble.text.startswith(f"{phase.migration.name} was applied as f00d and now is ")
    assert "restore the file that was applied (sha256 f00d)" in trouble.repair
    assert not trouble.safe
    plant(database, "delete from ledger.deployments")


def test_a_deploy_that_never_ended(database: Database) -> None:
    with database.connect() as connection:
        checksums.record(
            connection, phases()[0], deployed_by="me@here", details={checksums.UNFINISHED: True}
        )
    (trouble,) = found(database)
    assert "that me@here began at" in trouble.text
    assert trouble.repair == "meterledger deploy ENV --defer-backfill"

    with database.connect() as deploying:
        deploying.execute("select pg_advisory_xact_lock(hashtextextended('meterledger.deploy', 0))")
        assert diagnosed(database).well  # one is under way
    plant(database, "delete from ledger.deployments")


def test_a_run_that_somebody_works_on(database: Database) -> None:
    plant(database, "insert into ledger.migration_runs (kind) values ('migrate')")
    with database.connect() as backfill:
        backfill.execute(
            "select pg_advisory_xact_lock(hashtextextended('meterledger.backfill', 0))"
        )
        assert diagnosed(database).well
    assert [one.name for one in found(database)] == ["runs"]
    plant(database, "delete from ledger.migration_runs where finished_at is null")


def test_a_run_with_rows_left_is_continued(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    with database.connect() as connection:
        user = database.add_user()
        connection.execute(
            "insert into electricity_readings (user_id, date, kwh_value)"
            " values (%s, '2026-01-01', 5)",
            (user,),
        )
    apply(database, time_zone="UTC", defer_backfill=True)
    plant(database, "insert into ledger.migration_runs (kind) values ('migrate')")

    (trouble,) = found(database)
    assert (trouble.safe, trouble.repair) == (False, "meterledger backfill ENV")


@pytest.mark.parametrize("lock", ["deploy", "backfill", "refresh_readings_mv"])
def test_a_lock_whose_holder_is_idle_in_its_transaction(database: Database, lock: str) -> None:
    with database.connect(name="meterledger deploy") as holder:
        holder.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (f"meterledger.{lock}",))
        pid = holder.info.backend_pid
        assert diagnosed(database).well  # not for long
        (trouble,) = found(database, AT_ONCE)
        assert f"the lock meterledger.{lock} is held by process {pid}" in trouble.text
        assert "idle in transaction" in trouble.text
        assert (trouble.safe, trouble.repair) == (False, f"select pg_terminate_backend({pid});")

        run_repair(database, trouble)
        holder.close()
    assert diagnosed(database, AT_ONCE).well


def test_a_lock_of_somebody_who_works_is_no_trouble(database: Database) -> None:
    with database.connect(autocommit=True) as guard, database.connect() as working:
        guard.execute("select pg_advisory_lock(hashtextextended('meterledger.deploy', 0))")
        working.execute("select 1")  # in a transaction, as the guarded program is
        assert [one.name for one in found(database, Question(idle_seconds=3600))] == []
        working.commit()
        working.close()
        assert [one.name for one in found(database, AT_ONCE)] == ["locks"]


def test_a_prepared_transaction_that_nobody_ended() -> None:
    with temporary_server(settings={"max_prepared_transactions": "2"}) as server:
        owner = Databases(server)
        database = owner.make(Template())
        apply(database)
        user = database.add_user()
        with database.connect(autocommit=True) as connection:
            connection.execute("begin")
            record(connection, user, TOPUP, 3)
            connection.execute("prepare transaction 'for''gotten'")
        (trouble,) = found(database)
        assert trouble.text.startswith("prepared transaction for'gotten of postgres, since ")
        assert "token_events" in trouble.text
        assert (trouble.safe, trouble.alone) == (False, True)

        run_repair(database, trouble)
        assert diagnosed(database).well


def test_a_replication_slot_that_nobody_reads() -> None:
    with temporary_server(settings={"max_replication_slots": "2"}) as server:
        database = Databases(server).make(Template())
        apply(database)
        plant(database, "select pg_create_physical_replication_slot('standby', true)")
        (trouble,) = found(database)
        assert "replication slot standby is read by nobody" in trouble.text
        assert trouble.repair == "select pg_drop_replication_slot('standby');"
        assert not trouble.safe

        run_repair(database, trouble)
        assert diagnosed(database).well


def test_a_repair_that_the_server_refuses_is_said(database: Database) -> None:
    plant(database, "alter table ledger.readings disable row level security")
    with database.connect() as reader, database.connect(autocommit=True) as connection:
        reader.execute("lock table ledger.readings in access exclusive mode")
        with _lock_timeout("100ms"):
            left, (treatment,) = treat(connection, _FOUND_BEFORE)
    assert treatment.outcome is Outcome.FAILED
    assert "lock timeout" in treatment.detail
    assert "row_level_security" in {one.name for one in left.troubles}
    assert "projection" in dict(left.unseen)
    plant(database, "alter table ledger.readings enable row level security")


def test_a_check_that_cannot_look_says_so(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.EMPTY)
    apply(database)
    plant(database, "drop view ledger.pending_readings cascade")
    diagnosis = diagnosed(database)

    assert [name for name, _ in diagnosis.unseen] == ["runs"]
    assert [one.name for one in diagnosis.troubles] == ["history"]
    assert not diagnosis.well


def test_a_database_without_the_phases(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    diagnosis = diagnosed(database)

    assert (diagnosis.well, diagnosis.checks) == (True, ())
    assert diagnosis.state.extent is Extent.NOTHING
    assert diagnosis.state.next_step == "meterledger deploy ENV --defer-backfill"


@pytest.mark.parametrize("number", range(1, len(phases())), ids=lambda n: phases()[n].name)
def test_wherever_a_rollout_stops_the_doctor_says_only_that(
    make_database: MakeDatabase, number: int
) -> None:
    """What later phases make is not missed before they are applied."""
    database = make_database(StartingPoint.DUAL_WRITE)
    apply(database, phases()[:number])
    [trouble] = found(database)

    assert trouble.name == "history"
    assert trouble.text.startswith("the rollout is not complete: never applied: ")
    assert phases()[number].name in trouble.text
    assert trouble.repair == "meterledger deploy ENV --defer-backfill"


def test_looking_changes_nothing(database: Database) -> None:
    """No transaction gets a number, and the server's own housekeeping, which takes some, rests."""
    transactions = "select pg_snapshot_xmax(pg_current_snapshot())"
    with _no_autovacuum(database):
        first = database.value(transactions)
        diagnosed(database)
        assert database.value(transactions) == first


@contextmanager
def _no_autovacuum(database: Database) -> Iterator[None]:
    with database.admin(autocommit=True) as admin:
        admin.execute("alter system set autovacuum = off")
        admin.execute("select pg_reload_conf()")
        try:
            wait_until(lambda: _workers(database) == 0)
            yield
        finally:
            admin.execute("alter system reset autovacuum")
            admin.execute("select pg_reload_conf()")


def _workers(database: Database) -> int:
    """How many of autovacuum's processes there are, its launcher included."""
    return int(
        database.value(
            "select count(*) from pg_stat_activity where backend_type like 'autovacuum%'"
        )
    )


@contextmanager
def _lock_timeout(value: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("toolkit.operations.doctor.run._LOCK_TIMEOUT", value)
        yield


_FOUND_BEFORE = Diagnosis(
    database="",
    state=State(Extent.COMPLETE, data=Data.MOVED),
    troubles=(
        Trouble(
            "row_level_security",
            "row level security is off on ledger.readings",
            "alter table ledger.readings enable row level security;",
            safe=True,
        ),
    ),
    unseen=(),
    checks=(),
    seconds=0.0,
)
