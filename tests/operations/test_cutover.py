"""The switch from table to view and back, as its command makes it, with others at work."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.backfill import Said
from tests.support.cutover import ALL_TOPICS, cut_over, is_view, rolled_out
from tests.support.database import Database
from tests.support.household import ZONE, named, plant, put_events, put_readings
from tests.support.processes import CHECKOUT
from tests.support.rollout import apply, projection_is_live, table_texts
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from toolkit.errors import FindingsError, OperationalError, UsageError
from toolkit.operations.backfill import lock
from toolkit.operations.cutover import (
    CutbackReport,
    plan_contract,
    plan_cutback,
    plan_cutover,
    run_contract,
    run_cutback,
    run_cutover,
)
from toolkit.operations.cutover.report import TOPICS
from toolkit.operations.preflight import Options
from toolkit.validation.run import validate

Household = tuple[Database, UUID, UUID]


@pytest.fixture
def household(make_database: MakeDatabase) -> Household:
    return rolled_out(make_database)


def cut_back(database: Database, said: Said | None = None, **given: Any) -> CutbackReport:  # noqa: ANN401
    return run_cutback(database.url, said or Said(), environment="staging", **given)


def shown(database: Database) -> list[str]:
    """What clients read under the old name."""
    return [
        str(row)
        for row in database.rows(
            "select r.id, r.user_id, r.date::text, r.kwh_value, r.token_amount, r.token_cost,"
            " r.notes, r.meter_photo_url from public.electricity_readings as r order by r.id"
        )
    ]


def inserts(database: Database, user: UUID, **values: object) -> UUID:
    """A row of an old client, through whatever has the name; its id."""
    reading = values.setdefault("id", uuid4())
    with database.connect() as connection:
        put_readings(connection, [{"user_id": user, "created_at": "2024-04-05 00:00+00", **values}])
    assert isinstance(reading, UUID)
    return reading


def test_the_words_are_those_of_the_findings() -> None:
    path = CHECKOUT / "supabase/migrations/20261101000602_install_cutover.sql"
    found = set(re.findall(r"'(\w+)', 'acknowledge'", path.read_text("utf-8")))
    assert found == set(TOPICS)


def test_it_waits_for_a_word_and_says_which_command(household: Household) -> None:
    database, _, _ = household
    plan = plan_cutover(database.url)
    assert not plan.refusals
    assert "upserts" in plan.topics
    with pytest.raises(FindingsError, match="waits for your word") as refused:
        run_cutover(database.url, Said(), environment="staging")
    words = " ".join(f"--acknowledge {topic}" for topic in plan.topics)
    assert f"meterledger cutover staging {words}" in refused.value.next_step
    assert any("42P10" in line for line in refused.value.details)
    with pytest.raises(UsageError, match="nothing is acknowledged by 'everything'"):
        plan_cutover(database.url, ["everything"])
    assert not is_view(database)


def test_it_refuses_what_a_word_does_not_remove(household: Household) -> None:
    database, user, _ = household
    database.rows("alter table public.electricity_readings add column colour text")
    # Somebody switched the sync off for a while: a row came that has no event.
    database.rows("alter table public.electricity_readings disable trigger user")
    inserts(database, user, date="2024-04-01", kwh_value=1)
    database.rows("alter table public.electricity_readings enable trigger user")
    plan = plan_cutover(database.url, ALL_TOPICS)
    assert {(f.topic, f.subject) for f in plan.refusals} == {
        ("columns", "column colour"),
        ("data", "pending"),
        ("validation", "electricity_readings"),
    }
    with pytest.raises(FindingsError, match="refused: 3 findings in the way"):
        cut_over(database)
    assert not is_view(database)


def test_there_and_back_with_writes_on_both_sides(household: Household) -> None:
    database, user, other = household
    before = shown(database)
    said = Said()
    report = cut_over(database, said)
    assert said.steps == ["look for what stands in the way", "switch", "prove"]
    assert (report.already, report.attempts, report.rows) == (False, 1, len(before))
    assert 0 < report.held_seconds < report.seconds
    assert shown(database) == before

    again = cut_over(database)
    assert (again.already, again.cutover_id) == (True, report.cutover_id)

    late = inserts(database, user, date="2024-04-01", kwh_value="40.5")
    database.rows("delete from public.electricity_readings where id = %s", (named(user, "zero"),))
    database.rows(
        "update public.electricity_readings set notes = 'edited', kwh_value = 17.255 where id = %s",
        (named(other, "odd"),),
    )
    with database.connect() as connection:
        put_events(
            connection,
            [
                {"id": uuid4(), "user_id": other, "event_type": "TOPUP", "kwh_amount": "5.12345",
                 "event_date": "2024-04-02 00:00+00", "created_at": "2024-04-02 00:00+00"},
            ],
        )  # fmt: skip
    # An old client's edit of a new client's event keeps its decimals, which the table rounds.
    database.rows("update public.electricity_readings set notes = 'x' where token_amount > 5")
    seen = shown(database)
    plan = plan_cutback(database.url)
    assert (plan.users, plan.unmerged, plan.unfit_count) == (2, 2, 0)
    back = cut_back(database, batch_users=1)
    assert (back.already, back.merged_before, back.merged_in_switch) == (False, 2, 0)
    assert shown(database) == seen
    assert validate(database.url).valid
    assert not is_view(database)
    assert cut_back(database).already

    # The table works, and so does the sync.
    inserts(database, user, date="2024-04-03", kwh_value="39")
    database.rows("update public.electricity_readings set kwh_value = 41 where id = %s", (late,))
    assert validate(database.url).valid
    with database.connect() as connection:
        assert projection_is_live(connection)

    again = cut_over(database)
    assert again.cutover_id > report.cutover_id
    assert validate(database.url).valid


def test_it_gives_way_names_who_and_gives_up(household: Household) -> None:
    database, _, _ = household
    said = Said()
    with database.connect(name="the report") as reader:
        reader.execute("select count(*) from public.electricity_readings")
        with pytest.raises(OperationalError, match="came first 2 times") as gave_up:
            run_cutover(
                database.url, said, environment="staging", acknowledged=ALL_TOPICS,
                lock_timeout=0.3, attempts=2,
            )  # fmt: skip
    assert "the report" in gave_up.value.message
    assert any("attempt 1 of 2 gave way (55P03)" in note for note in said.notes)
    assert not is_view(database)


def test_it_goes_through_once_the_other_has_ended(household: Household) -> None:
    database, _, _ = household
    with database.connect(name="the report") as reader:
        reader.execute("select count(*) from public.electricity_readings")
        said = Said(at_note=lambda _: reader.rollback())
        report = cut_over(database, said)
    assert report.attempts == 2
    assert len(said.notes) == 1


@pytest.mark.parametrize("name", [lock.DEPLOY, lock.BACKFILL])
def test_no_deploy_and_no_backfill_beside_it(
    household: Household, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, _, _ = household
    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 0)
    with database.connect(autocommit=True, name="a colleague") as other:
        lock.take(other, name)
        for run in (cut_over, cut_back):
            with pytest.raises(OperationalError, match="a colleague"):
                run(database)


def test_what_the_table_cannot_take_back_is_listed_and_set_aside_by_number(
    make_database: MakeDatabase,
) -> None:
    database, user, _ = rolled_out(make_database, unique_days=True)
    cut_over(database)
    with database.connect() as connection:
        put_events(
            connection,
            [
                {"id": uuid4(), "user_id": user, "event_type": "METER_READING", "kwh_amount": kwh,
                 "event_date": "2024-05-01 00:00+00", "created_at": f"2024-05-01 0{kwh}:00+00"}
                for kwh in (1, 2)
            ],
        )  # fmt: skip
    plan = plan_cutback(database.url)
    assert plan.unfit_count == 1
    assert "it repeats a key of" in plan.unfit[0].problem
    for number in (0, 2):
        with pytest.raises(FindingsError, match="cannot take 1 readings back") as refused:
            cut_back(database, set_aside=number)
        assert "meterledger cutback staging --set-aside 1" in refused.value.next_step
    assert is_view(database)
    seen = shown(database)
    report = cut_back(database, set_aside=1)
    assert report.set_aside == 1
    gone = {plan.unfit[0].reading_id}
    assert set(shown(database)) == {row for row in seen if not any(g in row for g in gone)}
    aside = database.rows("select user_id, row_data ->> 'id' from ledger.set_aside")
    assert [(row[0], row[1]) for row in aside] == [(user, plan.unfit[0].reading_id)]
    assert validate(database.url).valid


def test_a_reading_that_changed_hands_comes_back(household: Household) -> None:
    """Its old owner's row stands in the archive under the same id until it is merged."""
    database, user, other = household
    cut_over(database)
    giver, taker = sorted((user, other), reverse=True)  # the taker is merged first
    database.rows(
        "update public.electricity_readings set user_id = %s where id = %s",
        (taker, named(giver, "odd")),
    )
    assert plan_cutback(database.url).unfit_count == 0
    seen = shown(database)
    cut_back(database, batch_users=1)
    assert shown(database) == seen
    assert validate(database.url).valid


def test_what_stood_in_the_way_may_be_gone_at_the_switch(household: Household) -> None:
    database, user, other = household
    cut_over(database)
    # The same id twice, which a key on (user_id, id) allows and the table's key does not.
    with database.connect() as connection:
        put_events(
            connection,
            [
                {"id": UUID(int=7), "user_id": each, "event_type": "METER_READING",
                 "kwh_amount": 3, "event_date": "2024-05-01 00:00+00",
                 "created_at": "2024-05-01 00:00+00"}
                for each in (user, other)
            ],
        )  # fmt: skip
    assert plan_cutback(database.url).unfit_count == 1
    keeper, second = sorted((user, other))
    database.value("select ledger.prepare_cutback()")
    assert database.value("select sum(obstacles)::int from ledger.cutback_marks") == 1
    database.rows(
        "delete from public.electricity_readings where id = %s and user_id = %s",
        (UUID(int=7), keeper),
    )
    seen = shown(database)
    cut_back(database)
    assert shown(database) == seen
    assert (
        database.value(
            "select user_id from public.electricity_readings where id = %s", (UUID(int=7),)
        )
        == second
    )
    assert validate(database.url).valid


def _backup(folder: Path, database: Database, made: datetime) -> None:
    place = folder / "1"
    place.mkdir(parents=True, exist_ok=True)
    (place / "manifest.json").write_text(
        f'{{"environment": "staging", "database": "x@y:1/{database.name}", "verified": true,'
        f' "made_at": "{made.isoformat()}"}}'
    )


def test_contract_waits_for_the_grace_and_for_a_backup(
    household: Household, tmp_path: Path
) -> None:
    database, user, _ = household
    now = datetime.now(UTC)

    def chosen(days: int) -> Options:
        return Options(
            "staging", protected=True, backup_folder=tmp_path, now=now + timedelta(days=days)
        )

    with pytest.raises(OperationalError, match="is the table that the app reads"):
        plan_contract(database.url, chosen(40))
    cut_over(database)
    with pytest.raises(FindingsError, match="grace period of 30 days") as early:
        run_contract(database.url, chosen(29), Said())
    assert "no fresh, verified backup" in early.value.message
    _backup(tmp_path, database, now + timedelta(days=30))
    with pytest.raises(FindingsError, match="hours old"):
        run_contract(database.url, chosen(40), Said())
    plan = plan_contract(database.url, chosen(31))
    assert (plan.rows, plan.obstacles) == (16, ())
    seen = shown(database)
    assert run_contract(database.url, chosen(31), Said()).rows == 16
    assert run_contract(database.url, chosen(31), Said()).already
    assert shown(database) == seen
    assert table_count(database, "ledger.electricity_readings_archive") == 0
    inserts(database, user, date="2024-04-01", kwh_value="40.5")
    assert validate(database.url).valid
    seen = shown(database)
    cut_back(database)
    assert shown(database) == seen
    assert validate(database.url).valid


def table_count(database: Database, table: str) -> int:
    schema, name = table.split(".")
    with database.connect() as connection:
        return len(table_texts(connection, schema, name))


def test_a_dual_write_database_too(make_database: MakeDatabase) -> None:
    database, _, _ = rolled_out(make_database, StartingPoint.DUAL_WRITE)
    report = cut_over(database)
    seen = shown(database)
    assert report.rows > report.archived
    cut_back(database)
    assert shown(database) == seen
    assert validate(database.url).valid


def test_rejected_rows_come_back_after_a_contract(make_database: MakeDatabase) -> None:
    """No event stands for them: they are in the list of rejects alone meanwhile."""
    database = make_database(StartingPoint.LEGACY_ONLY)
    user, _ = plant(database, StartingPoint.LEGACY_ONLY)
    rejected = inserts(database, user, date="infinity", kwh_value=3)
    apply(database, time_zone=ZONE)
    assert [f.subject for f in plan_cutover(database.url, ALL_TOPICS).refusals] == ["rejects"]
    database.rows(
        "update ledger.migration_rejects"
        " set waived_at = now(), waived_by = 'tests', waived_reason = 'a test account'"
    )
    before = shown(database)
    cut_over(database)
    database.value("select ledger.contract()")
    assert validate(database.url).valid
    cut_back(database)
    assert shown(database) == before
    assert any(str(rejected) in row for row in before)
    assert validate(database.url).valid
