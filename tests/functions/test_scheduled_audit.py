"""The audit: each planted fault is found, repaired, recorded with its cause, and alarmed."""

from __future__ import annotations

from uuid import uuid4

import pytest

from functions.health.main import entry as health
from functions.refresh_readings.main import entry as refresh
from functions.verify_readings.main import entry as verify
from tests.functions.conftest import Place
from tests.support.database import Connection
from tests.support.events import (
    MATERIALIZED_VIEW,
    PROJECTION,
    READING,
    day,
    mark_voided,
    record,
    rows_of,
)

RECORDED = (
    "select d.finding, d.cause, d.repaired from ledger.audit_differences as d"
    " order by d.audit_id desc limit 1"
)
BEHIND = "changed behind the projector after the audit of"


@pytest.fixture
def audited(place: Place) -> Place:
    """A place where everything was refreshed and audited, and found right."""
    place.run(refresh)
    status, result = place.run(verify)
    assert (status, result["outcome"], result["users"]) == (200, "clean", 3)
    return place


def due(owner: Connection) -> None:
    """Let the cycle go round: everybody comes up, whom nothing changed too."""
    owner.execute(
        "update ledger.audit_marks set audited_at = audited_at - interval '30 days';"
        " update ledger.work_state set swept_at = swept_at - interval '30 days'"
    )


def found(place: Place, owner: Connection) -> tuple[str, str | None]:
    """Audit, and see that the fault was found, repaired, recorded, told; what it was."""
    status, result = place.run(verify)
    (alert,) = place.webhook.alerts
    row = owner.execute(RECORDED.encode()).fetchone()
    assert row is not None
    finding, cause, repaired = row

    assert (status, result["outcome"]) == (200, "differences")
    assert result["differences"] >= 1
    assert (result["unrepaired"], repaired) == (0, True)
    assert alert["kind"] == "differences"
    assert place.run(verify)[1]["outcome"] == "clean"
    assert place.run(health)[0] == 503
    return finding, cause


def test_what_did_not_change_is_not_looked_at_again(audited: Place) -> None:
    result = audited.run(verify)[1]

    assert result["outcome"] == "clean"
    assert result["users"] <= 1  # the rotating share
    assert audited.run(health)[0] == 200


def test_who_changed_is_looked_at(audited: Place, owner: Connection) -> None:
    users = owner.execute("select user_id from ledger.heads order by 1 limit 2").fetchall()
    for (user,) in users:
        record(owner, user, READING, 3, day(50))

    assert audited.run(verify)[1]["users"] >= 2
    assert owner.execute(
        "select count(*) from ledger.heads as h join ledger.audit_marks as m using (user_id)"
        " where h.version = m.version"
    ).fetchone() == (3,)


def test_a_corrupted_row(audited: Place, owner: Connection) -> None:
    before = rows_of(owner, PROJECTION)
    owner.execute("update ledger.readings set kwh_value = kwh_value + 1 where kwh_value = 10")
    due(owner)
    finding, cause = found(audited, owner)

    assert finding == "wrong"
    assert cause is not None
    assert cause.startswith(BEHIND)
    assert rows_of(owner, PROJECTION) == before


def test_a_missing_row(audited: Place, owner: Connection) -> None:
    before = rows_of(owner, PROJECTION)
    owner.execute("delete from ledger.readings where kwh_value = 10")
    due(owner)

    assert found(audited, owner)[0] == "missing"
    assert rows_of(owner, PROJECTION) == before


@pytest.mark.parametrize("known", [True, False], ids=["of a user", "of nobody"])
def test_a_foreign_row(audited: Place, owner: Connection, known: bool) -> None:
    before = rows_of(owner, PROJECTION)
    owner.execute(
        "insert into ledger.readings select gen_random_uuid(), coalesce(%s, r.user_id), r.date,"
        " r.kwh_value, r.token_cost, r.token_amount, r.notes, r.meter_photo_url, r.created_at"
        " from ledger.readings as r order by r.user_id limit 1",
        (None if known else uuid4(),),
    )
    due(owner)
    finding, cause = found(audited, owner)

    assert finding == "foreign"
    assert cause is not None
    assert cause.startswith(BEHIND if known else "nobody has this user id")
    assert rows_of(owner, PROJECTION) == before


def test_a_disabled_trigger(audited: Place, owner: Connection) -> None:
    user = owner.execute("select user_id from ledger.heads order by 1 limit 1").fetchone()
    assert user is not None
    owner.execute("alter table token_events disable trigger token_events_project_inserts")
    event = record(owner, user[0], READING, 3, day(60))
    finding, cause = found(audited, owner)

    assert (finding, cause) == ("missing", "a trigger of the projector was off")
    assert audited.webhook.alerts[0]["triggers_off"] == ["token_events_project_inserts"]
    assert owner.execute("select kwh_value from ledger.readings where id = %s", (event,)).fetchall()
    next_one = record(owner, user[0], READING, 4, day(61))
    assert owner.execute("select from ledger.readings where id = %s", (next_one,)).fetchall()


def test_a_disabled_trigger_of_voids(audited: Place, owner: Connection) -> None:
    row = owner.execute(
        "select id from public.token_events order by user_id, id limit 1"
    ).fetchone()
    assert row is not None
    owner.execute("alter table token_events disable trigger token_events_project_updates")
    mark_voided(owner, row[0])
    finding, cause = found(audited, owner)

    assert (finding, cause) in [
        (word, "a trigger of the projector was off") for word in ("foreign", "wrong")
    ]
    assert audited.webhook.alerts[0]["triggers_off"] == ["token_events_project_updates"]
    assert not owner.execute("select from ledger.readings where id = %s", row).fetchall()


def test_a_missing_trigger_is_told_every_time(audited: Place, owner: Connection) -> None:
    with owner.transaction(force_rollback=True):
        owner.execute("drop trigger token_events_project_deletes on token_events")
        row = owner.execute("select audit_readings()").fetchone()
        assert row is not None

    assert row[0]["triggers_missing"] == ["token_events_project_deletes"]
    assert row[0]["unrepaired"] == 1


def test_an_emptied_view(audited: Place, owner: Connection) -> None:
    owner.execute("refresh materialized view public.electricity_readings_mv with no data")
    assert audited.run(health)[0] == 503
    status, result = audited.run(verify)

    assert (status, result["outcome"], result["refresh"]) == (200, "differences", "refreshed")
    assert len(audited.webhook.alerts) == 1
    assert rows_of(owner, MATERIALIZED_VIEW) == rows_of(owner, PROJECTION)


def test_a_view_that_lost_a_row_is_refreshed(audited: Place, owner: Connection) -> None:
    # The projection and the events agree, and the view was refreshed from something else.
    with owner.transaction():
        owner.execute("alter table token_events disable trigger user")
        owner.execute(
            "update token_events set notes = 'x' where user_id in"
            " (select user_id from ledger.heads order by 1 limit 1)"
        )
        owner.execute("refresh materialized view public.electricity_readings_mv")
        owner.execute("update token_events set notes = null")
        owner.execute("alter table token_events enable trigger user")
    owner.execute("update ledger.audit_marks set mv_version = null")
    result = audited.run(verify)[1]

    assert (result["outcome"], result["differences"]) == ("differences", 4)
    assert result["refresh"] == "refreshed"
    assert audited.run(verify)[1]["outcome"] == "clean"
    assert rows_of(owner, MATERIALIZED_VIEW) == rows_of(owner, PROJECTION)


def test_a_repair_waits_no_longer_than_the_lock_timeout(audited: Place, owner: Connection) -> None:
    owner.execute("update ledger.readings set kwh_value = kwh_value + 1 where kwh_value = 10")
    due(owner)
    with audited.database.connect() as writer:
        writer.execute("select from ledger.heads for update")
        result = audited.run(verify)[1]
        assert result["unrepaired"] == 3
    assert audited.run(verify)[1]["unrepaired"] == 0
    assert audited.run(verify)[1]["outcome"] == "clean"


def test_an_alert_that_nobody_took_fails_the_run(audited: Place, owner: Connection) -> None:
    owner.execute("delete from ledger.readings where kwh_value = 10")
    due(owner)

    assert audited.run(verify, alert_url="")[0] == 500


def test_of_two_audits_one_skips(audited: Place) -> None:
    with audited.database.connect() as other:
        other.execute(
            "select pg_advisory_xact_lock(hashtextextended('meterledger.audit_readings', 0))"
        )
        assert audited.run(verify)[1]["outcome"] == "skipped"


def test_everybody_comes_up_within_a_cycle(audited: Place, owner: Connection) -> None:
    owner.execute("update ledger.audit_marks set audited_at = audited_at - interval '1 day'")
    for _ in range(3):
        audited.run(verify)

    assert owner.execute(
        "select count(*) from ledger.audit_marks where audited_at > now() - interval '1 hour'"
    ).fetchone() == (3,)


def test_an_erased_user_leaves_nothing_in_the_record(audited: Place, owner: Connection) -> None:
    owner.execute("delete from ledger.readings")
    due(owner)
    audited.run(verify)
    owner.execute("delete from auth.users")
    counts = owner.execute(
        "select (select count(*) from ledger.audit_marks), (select count(*) from"
        " ledger.refresh_marks), (select count(*) from ledger.audit_differences)"
    ).fetchone()

    assert counts == (0, 0, 0)


def test_a_clock_that_was_set_back_stops_no_audit(audited: Place, owner: Connection) -> None:
    owner.execute(
        "update ledger.audit_marks set audited_at = audited_at + interval '60 days';"
        " update ledger.work_state set swept_at = swept_at + interval '60 days';"
        " update ledger.audits set started_at = started_at + interval '60 days',"
        " finished_at = finished_at + interval '60 days'"
    )
    user = owner.execute("select user_id from ledger.heads order by 1 limit 1").fetchone()
    assert user is not None
    record(owner, user[0], READING, 3, day(50))
    status, result = audited.run(verify)

    assert (status, result["outcome"], result["users"]) == (200, "clean", 1)
    assert audited.run(health)[1]["seconds_since_audit"] < 600
