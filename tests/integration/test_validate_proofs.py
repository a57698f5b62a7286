"""What a validation as a whole may be trusted with: independence, one snapshot, no traces."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest

from tests.support.catalog import contents
from tests.support.database import Connection, Database
from tests.support.events import ADJUSTMENT, READING, START, TOPUP, record
from tests.support.processes import wait_until
from tests.support.proven import EVENT_ONLY, Fault, proven, proven_copy
from tests.support.rollout import table_texts
from tests.support.servers import Databases, default_major
from toolkit.errors import OperationalError
from toolkit.validation.report import CheckResult
from toolkit.validation.run import validate


@pytest.fixture(scope="module")
def database(databases: Callable[[int], Databases]) -> Iterator[Database]:
    """A copy of a proven database; each test leaves it valid."""
    with proven_copy(databases(default_major())) as copy:
        yield copy


def wrong(definition: object) -> str:
    """The same computation, with every step a kWh too long."""
    changed, times = re.subn(
        r"(else\s+e\.kwh_amount)(\s+end\s+as\s+step_kwh)", r"\1 + 1\2", str(definition), flags=re.I
    )
    assert times == 1
    return changed


def compute_wrongly(connection: Connection) -> None:
    """All three computations of the database agree, and are wrong."""
    for function in ("public.calculate_user_positions(uuid)", "ledger.project(ledger.span[])"):
        row = connection.execute(
            "select pg_get_functiondef(%s::regprocedure)", (function,)
        ).fetchone()
        connection.execute(wrong(row[0] if row else "").encode())
    mv = connection.execute(
        "select pg_get_viewdef('public.electricity_readings_mv'::regclass)"
    ).fetchone()
    query = wrong(mv[0] if mv else "").rstrip(";")
    connection.execute("drop materialized view public.electricity_readings_mv")
    connection.execute(
        f"create materialized view public.electricity_readings_mv as {query}".encode()
    )
    connection.execute(
        "create unique index on public.electricity_readings_mv (user_id, id);"
        "revoke all on public.electricity_readings_mv from anon, authenticated, service_role;"
        "select ledger.project_everything()"
    )


def test_only_the_reference_sees_what_the_whole_database_computes_wrongly(
    databases: Callable[[int], Databases],
) -> None:
    with proven_copy(databases(default_major())) as database:
        with database.connect() as connection:
            [(_, spoilt)] = connection.execute(EVENT_ONLY.encode()).fetchall()
            compute_wrongly(connection)
        report = validate(database.url, keep=1000)

    said = Fault("", {"reference": r"the reference says -?[\d.]+ kWh"}, only=("reference",))
    said.is_seen(report, str(spoilt))


def test_the_reference_holds_ties_corrections_and_voids(database: Database) -> None:
    user = database.add_user()
    with database.connect() as connection:
        for number, kind in enumerate((READING, TOPUP, ADJUSTMENT, TOPUP, READING, TOPUP)):
            at = START + timedelta(days=number // 3)
            record(connection, user, kind, number + 0.25, at, created_at=START)

    before = validate(database.url).result("reference")
    with database.admin() as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "update ledger.readings set kwh_value = kwh_value - 1e-10 where user_id = %s", (user,)
        )
    after = validate(database.url, keep=10).result("reference")
    database.rows("select ledger.project_everything(array[%s]::uuid[])", (user,))

    assert before.count == 0
    assert after.count == 6
    assert {found.user_id for found in after.findings} == {str(user)}


def test_live_writes_meanwhile_are_no_difference(database: Database) -> None:
    users = [database.add_user() for _ in range(2)]

    def write(_: CheckResult) -> None:
        with database.connect() as connection:
            for user in users:
                record(connection, user, TOPUP, 7)
                connection.execute(
                    "insert into public.electricity_readings (user_id, date, kwh_value)"
                    " values (%s, '2026-02-03', 9)",
                    (user,),
                )

    report = validate(database.url, on_check=write)

    assert report.valid
    written = database.value("select count(*) from public.token_events where kwh_amount = 7")
    assert written == len(users) * len(report.checks)
    assert validate(database.url).valid


def test_a_refresh_under_way_elsewhere_is_waited_for(database: Database) -> None:
    waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
    user = database.add_user()
    with ThreadPoolExecutor(1) as pool, database.connect() as refreshing:
        refreshing.execute("select public.refresh_readings_mv()")
        proof = pool.submit(validate, database.url)
        wait_until(lambda: database.value(waiting) == 1)
        with database.connect() as connection:
            record(connection, user)
        refreshing.commit()
        assert proof.result(60).valid


def test_a_scheduled_refresh_skips_meanwhile_and_works_again_after(database: Database) -> None:
    outcomes = []

    def refresh(_: CheckResult) -> None:
        outcomes.append(database.value("select public.refresh_readings_mv() ->> 'outcome'"))

    validate(database.url, on_check=refresh)

    assert outcomes == ["refreshed"] + ["skipped"] * (len(outcomes) - 1)
    assert database.value("select public.refresh_readings_mv() ->> 'outcome'") == "refreshed"


def test_nothing_is_changed(database: Database) -> None:
    def private() -> list[list[str]]:
        tables = ("readings", "migrated_readings", "migration_rejects", "migration_runs", "heads")
        with database.connect() as connection:
            return [table_texts(connection, "ledger", name) for name in tables]

    before, private_before = contents(database), private()

    validate(database.url)

    assert contents(database) == before
    assert private() == private_before


def test_a_connection_that_is_lost_is_no_finding(database: Database) -> None:
    lost = threading.Event()

    def cut(result: CheckResult) -> None:
        if result.name == "lossless" and not lost.is_set():
            lost.set()
            database.rows(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and application_name = 'meterledger validate'"
            )

    with pytest.raises(OperationalError, match="validation stopped") as error:
        validate(database.url, on_check=cut)

    assert lost.is_set()
    assert error.value.next_step


def test_quiet_on_every_version(databases: Callable[[int], Databases], major: int) -> None:
    database = proven(databases(major))

    assert validate(database.url).valid


def test_what_was_voided_may_hold_anything(database: Database) -> None:
    user = database.add_user()
    with database.admin() as connection:
        connection.execute("set session_replication_role = replica")
        for at in ("-infinity", "infinity", "4713-01-01 BC"):
            connection.execute(
                "insert into public.token_events"
                " (user_id, event_type, event_date, kwh_amount, is_voided)"
                " values (%s, 'TOPUP', %s, 'NaN', true)",
                (user, at),
            )
    with database.connect() as connection:
        record(connection, user, TOPUP, 3)

    assert validate(database.url).valid


def test_users_whose_ids_order_unlike_their_text(database: Database) -> None:
    """The fold takes the order of uuids from the database and compares it in Python."""
    with database.connect() as connection:
        for text in ("f" * 32, "0" * 31 + "1", "7fffffffffffffffffffffffffffffff", "8" + "0" * 31):
            user = UUID(text)
            connection.execute("insert into auth.users (id) values (%s)", (user,))
            record(connection, user, TOPUP, 3)

    assert validate(database.url).valid
