"""Near matches: listed, kept, merged, and what becomes of a merge later."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from tests.support.database import Database
from tests.support.review import NOTES, USER, near, undecided
from tests.support.rollout import apply, before, projection_is_live
from tests.support.servers import Databases, MakeDatabase, default_major
from toolkit.bootstrap import StartingPoint
from toolkit.errors import FindingsError, OperationalError, UsageError
from toolkit.operations.review import matches, remaining
from toolkit.validation.run import validate


@pytest.fixture(scope="module")
def original(databases: Callable[[int], Databases]) -> Iterator[Database]:
    with undecided(databases(default_major())) as database:
        yield database


@pytest.fixture
def database(databases: Callable[[int], Databases], original: Database) -> Iterator[Database]:
    with databases(default_major()).copy(original) as copy:
        yield copy


def event(database: Database, number: int) -> tuple[bool, str | None]:
    rows = database.rows(
        "select is_voided, voided_reason from public.token_events where user_id = %s and id = %s",
        (USER, near("event", number)),
    )
    return rows[0][0], rows[0][1]


def seen(database: Database, id_: UUID) -> int:
    count: int = database.value("select count(*) from ledger.readings where id = %s", (id_,))
    return count


def test_pairs_are_listed_with_both_sides(original: Database) -> None:
    with original.connect() as connection:
        found = matches.listed(connection)
        assert remaining(connection).matches == len(found) == 3
        whole = matches.with_sides(connection, found[0])
        assert matches.listed(connection, limit=1)[0].matches == 3

    assert [(m.event_id, m.reading_id) for m in found] == [
        (near("event", n), near("reading", n)) for n in range(3)
    ]
    assert (str(found[0].event_kwh), str(found[0].reading_kwh)) == ("20.50", "20.00")
    assert whole.event_text is not None
    assert whole.reading_text is not None
    assert whole.event_text["notes"] == whole.reading_text["notes"] == NOTES


def test_a_kept_pair_is_two_facts_and_not_listed_again(database: Database) -> None:
    with database.connect(autocommit=True) as connection:
        pair = matches.find(connection, near("event", 0))
        with pytest.raises(UsageError, match="needs a reason"):
            matches.keep(connection, pair, " ")
        matches.keep(connection, pair, "two meters", decider="ana")
        matches.keep(connection, pair, "two meters", decider="ana")
        assert remaining(connection).matches == 2
        with pytest.raises(UsageError, match="is in no pair"):
            matches.find(connection, near("event", 0))

    assert event(database, 0) == (False, None)
    kept = database.rows("select decision, reason, decided_by from ledger.reviewed_matches")
    assert kept == [("both", "two meters", "ana")]


def test_a_merge_voids_the_event_and_leaves_the_reading(database: Database) -> None:
    pair = near("event", 1), near("reading", 1)
    with database.connect(autocommit=True) as connection:
        first = matches.merge(connection, *pair, because="typo", decider="ana")
        again = matches.merge(connection, *pair)
        assert (first.already, again.already) == (False, True)
        assert remaining(connection).matches == 2
        assert projection_is_live(connection)

    assert event(database, 1) == (True, f"merged into {pair[1]}")
    assert (seen(database, pair[0]), seen(database, pair[1])) == (0, 1)
    kept = database.rows("select decision, reason, decided_by from ledger.reviewed_matches")
    assert kept == [("merged", f"duplicate of reading {pair[1]}: typo", "ana")]
    assert database.rows("select event_id, reading_id, survivor_id from ledger.merges") == [
        (pair[0], pair[1], pair[1])
    ]
    assert database.rows("select * from ledger.migration_differences()") == []
    assert validate(database.url).valid


def test_a_rollback_takes_the_merge_back_and_it_is_to_be_decided_again(
    database: Database,
) -> None:
    pair = near("event", 1), near("reading", 1)
    with database.connect(autocommit=True) as connection:
        matches.merge(connection, *pair)
        connection.execute("select ledger.undo_data_migration()")
        assert event(database, 1) == (False, None)
        assert remaining(connection).matches == 0  # nothing is migrated, so nothing is near
        connection.execute("select ledger.migrate_data()")
        assert remaining(connection).matches == 3
        assert not matches.merge(connection, *pair).already
        assert event(database, 1)[0]
        assert projection_is_live(connection)


def test_a_client_that_voids_a_merged_event_voids_the_fact(database: Database) -> None:
    pair = near("event", 1), near("reading", 1)
    with database.connect(autocommit=True) as connection:
        matches.merge(connection, *pair)
    with database.as_user(USER) as request:
        request.execute(
            "update token_events set is_voided = true, voided_at = now(), voided_by = %s,"
            " voided_reason = 'mine' where id = %s",
            (USER, pair[0]),
        )
    assert (seen(database, pair[0]), seen(database, pair[1])) == (0, 0)


def test_the_last_survivor_of_a_fact_is_not_voided(database: Database) -> None:
    pair = near("event", 2), near("reading", 2)
    with database.as_user(USER) as request:
        request.execute(
            "update token_events set is_voided = true, voided_reason = 'mine' where id = %s",
            (pair[1],),
        )
    with (
        database.connect(autocommit=True) as connection,
        pytest.raises(FindingsError, match="the event alone states the fact"),
    ):
        matches.merge(connection, *pair)
    assert event(database, 2) == (False, None)


def test_what_is_no_pair_is_not_merged(database: Database) -> None:
    with database.connect(autocommit=True) as connection:
        with pytest.raises(UsageError, match="is in no pair"):
            matches.merge(connection, near("event", 0), near("reading", 1))
        with pytest.raises(UsageError, match="there is no event"):
            matches.merge(connection, USER, near("reading", 1))
        matches.keep(connection, matches.find(connection, near("event", 0)), "both")
        with pytest.raises(UsageError, match="is in no pair"):
            matches.merge(connection, near("event", 0), near("reading", 0))
    assert database.value("select count(*) from ledger.merges") == 0


def test_a_merge_that_the_projection_does_not_follow_is_taken_back(database: Database) -> None:
    with database.connect(autocommit=True) as connection:
        connection.execute(
            "alter table public.token_events disable trigger token_events_project_updates"
        )
        with pytest.raises(OperationalError, match="nothing was changed"):
            matches.merge(connection, near("event", 0), near("reading", 0))
    assert event(database, 0) == (False, None)
    assert database.value("select count(*) from ledger.reviewed_matches") == 0


def test_of_two_who_merge_at_once_the_second_finds_it_done(database: Database) -> None:
    pair = near("event", 0), near("reading", 0)
    done: list[bool] = []

    def second() -> None:
        with database.connect(autocommit=True, name="second") as connection:
            done.append(matches.merge(connection, *pair).already)

    thread = threading.Thread(target=second)
    with database.connect(autocommit=True) as first, first.transaction():
        matches.merge(first, *pair)
        thread.start()
        waits = "select count(*) from pg_stat_activity where application_name = 'second'"
        while not database.value(f"{waits} and wait_event_type = 'Lock'"):
            assert thread.is_alive()
    thread.join()
    assert done == [True]
    assert database.value("select count(*) from ledger.merges") == 1


def test_before_the_data_is_moved_nothing_is_near(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    apply(database, before("20261101000401"), time_zone="UTC")
    apply(database, defer_backfill=True, time_zone="UTC")
    user = database.add_user()
    with database.admin() as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "insert into public.electricity_readings (user_id, date, kwh_value)"
            " values (%s, '2024-01-01', 10)",
            (user,),
        )
        connection.execute(
            "insert into public.token_events (user_id, event_type, event_date, kwh_amount)"
            " values (%s, 'METER_READING', '2024-01-01', 10), (%s, 'TOPUP', '2024-01-01', 5)",
            (user, user),
        )
    with database.connect() as connection:
        assert database.value("select count(*) from ledger.near_matches") == 1
        assert remaining(connection).nothing
