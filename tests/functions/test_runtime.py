"""What the handlers share: configuration, retries, deadline, logs, the dead man's alert."""

from __future__ import annotations

import json
import time

import pytest

from functions.entry import Entry
from functions.health.main import entry as health
from functions.prune.main import entry as prune
from functions.refresh_readings.main import entry as refresh
from functions.runtime import TRIES, Config, HandlerError, Result, Run, request_id
from functions.verify_readings.main import entry as verify
from tests.functions.conftest import Place
from tests.support.database import Connection
from toolkit.local.process import free_port

URL = "http://127.0.0.1:9"
KEYED = {"SUPABASE_URL": URL, "SUPABASE_SERVICE_ROLE_KEY": "planted-service-key"}


def run_of(config: Config, **changes: object) -> tuple[Run, list[str], list[float]]:
    lines: list[str] = []
    waits: list[float] = []
    run = Run("test", config, write=lines.append, sleep=waits.append)
    for name, value in changes.items():
        setattr(run, name, value)
    return run, lines, waits


def test_the_api_is_the_way_unless_there_is_no_key() -> None:
    both = {**KEYED, "DATABASE_URL": "postgresql://a@b/c"}

    assert Config.load(both).via == "rpc"
    assert Config.load({**both, "METERLEDGER_VIA": "database"}).via == "database"
    assert Config.load({"DATABASE_URL": "postgresql://a@b/c"}).via == "database"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"SUPABASE_URL": URL},
        {**KEYED, "METERLEDGER_VIA": "pigeon"},
        {**KEYED, "METERLEDGER_VIA": "database"},
        {**KEYED, "METERLEDGER_PERIOD_SECONDS": "soon"},
        {**KEYED, "METERLEDGER_TIMEOUT_SECONDS": "-1"},
    ],
)
def test_what_is_missing_or_no_number_is_said(environ: dict[str, str]) -> None:
    with pytest.raises(HandlerError):
        Config.load(environ)


def test_no_secret_is_in_a_log_or_a_repr() -> None:
    config = Config.load(
        {
            **KEYED,
            "DATABASE_URL": "postgresql://owner:planted%40password@b/c",
            "METERLEDGER_HANDLER_SECRET": "planted-secret",
            "METERLEDGER_ALERT_URL": "http://127.0.0.1:9/planted-hook",
        }
    )
    run, lines, _ = run_of(config)
    run.log("INFO", f"all of it: {config.service_key} {config.database_url} planted@password")
    run.alert(f"{config.secret} {config.alert_url}")

    assert "planted" not in "".join(lines) + repr(config) + repr(run)


@pytest.mark.parametrize("port", [None, 9], ids=["a paused project", "a closed port"])
@pytest.mark.parametrize("via", ["rpc", "database"])
def test_a_refused_connection_is_tried_again_and_then_told(via: str, port: int | None) -> None:
    where = port or free_port()
    config = Config.load(
        {
            **KEYED,
            "SUPABASE_URL": f"http://127.0.0.1:{where}",
            "DATABASE_URL": f"postgresql://postgres:planted@127.0.0.1:{where}/postgres",
            "METERLEDGER_VIA": via,
        }
    )
    run, lines, waits = run_of(config)
    # An entry of its own remembers no success.
    status, result = Entry(refresh.name, refresh.work).run(run)

    assert (status, result["outcome"]) == (500, "failed")
    assert len(waits) == TRIES - 1
    assert waits == sorted(waits)
    assert any("since when is unknown" in line for line in lines)
    assert "planted" not in "".join(lines)
    assert health.run(run)[0] == 503


def test_a_wrong_key_is_not_tried_again(place: Place) -> None:
    cold = Entry(refresh.name, refresh.work)
    status, result = place.run(cold, service_key="planted.wrong.key")

    assert (status, result["outcome"]) == (500, "failed")
    assert place.waits == []
    assert place.webhook.alerts != []
    assert "planted.wrong.key" not in "".join(place.lines) + json.dumps(place.webhook.alerts)


def test_no_call_begins_after_the_deadline(place: Place) -> None:
    run, _, _ = run_of(place.config, deadline=time.monotonic() + 1)
    status, result = refresh.run(run)

    assert (status, result["code"]) == (500, "deadline")


def test_the_server_stops_a_call_at_the_deadline(place: Place, owner: Connection) -> None:
    with place.database.connect() as other:
        other.execute("lock table public.token_events in access exclusive mode")
        run, _, _ = run_of(place.config, deadline=time.monotonic() + 2.5)
        run.config = Config(via="database", database_url=place.database.url)
        status, result = refresh.run(run)

    assert status == 500
    assert result["code"] in ("57014", "55P03")


@pytest.mark.parametrize("state", ["40001", "23505", "57P01"])
def test_a_transient_failure_is_tried_again(place: Place, state: str) -> None:
    answers = [{"outcome": "failed", "reason": "planted", "sqlstate": state}, {"outcome": "done"}]

    def planted(*_: object) -> Result:
        return answers.pop(0)

    run, lines, waits = run_of(Config(via="rpc"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("functions.runtime", fromlist=["_CALLS"])._CALLS, "rpc", planted)
        assert run.call("anything") == {"outcome": "done"}
    assert len(waits) == 1
    assert json.loads(lines[0])["code"] == state


def test_the_dead_mans_alert_goes_out_after_so_many_periods(
    place: Place, owner: Connection
) -> None:
    place.run(refresh)
    place.run(verify)
    assert place.webhook.alerts == []
    owner.execute(
        "update ledger.audits set started_at = started_at - interval '5 hours',"
        " finished_at = finished_at - interval '5 hours'"
    )
    status = place.run(refresh)[0]

    assert status == 200  # the refresh is fine; that the audit is not was delivered
    assert [alert["text"] for alert in place.webhook.alerts] == [
        "meterledger refresh_readings: no audit has run lately"
    ]
    assert place.run(refresh, alert_url="")[0] == 500
    assert place.run(refresh, stale_seconds=10 * 3600)[0] == 200


def test_a_defect_is_told_too(place: Place) -> None:
    def work(_: Run) -> Result:
        raise KeyError("planted")

    status, result = place.run(Entry("broken", work))

    assert status == 500
    assert "defect" in result["reason"]
    assert json.loads(place.lines[-1])["severity"] == "ERROR"


def test_health_says_what_a_monitor_wants(place: Place) -> None:
    place.run(refresh)
    place.run(verify)
    status, result = place.run(health)

    assert status == 200
    assert result["last_refresh_at"]
    assert result["last_audit_at"]
    assert (result["differences_24h"], result["rejects_open"]) == (0, 0)


def test_prune_keeps_events_and_what_is_young(place: Place, owner: Connection) -> None:
    place.run(refresh)
    place.run(verify)
    events = owner.execute("select count(*) from token_events").fetchone()
    owner.execute(
        "insert into ledger.refresh_log (started_at, outcome)"
        " select now() - interval '100 days', 'not needed' from generate_series(1, 5)"
    )
    owner.execute(
        "insert into ledger.refresh_log (finished_at, outcome, users)"
        " values (now(), 'refreshed', 3)"
    )
    user = owner.execute("select user_id from ledger.heads limit 1").fetchone()
    assert user is not None
    owner.execute(
        "insert into recalculation_batches (user_id, trigger_type, affected_events, events_count,"
        " can_rollback_until) values (%(user)s, 'MANUAL_CORRECTION', '[]', 0, now()),"
        " (%(user)s, 'MANUAL_CORRECTION', '[]', 0, now() - interval '400 days')",
        {"user": user[0]},
    )
    result = place.run(prune)[1]

    assert (result["outcome"], result["batches"]) == ("pruned", 1)
    assert result["refresh_log"] == 5
    assert owner.execute("select count(*) from token_events").fetchone() == events
    assert place.run(prune)[1]["refresh_log"] == 0


@pytest.mark.parametrize("word", [None, "", "two words", "x" * 65, 'quote"'])
def test_a_request_id_that_is_unfit_for_a_log_is_replaced(word: str | None) -> None:
    assert request_id(word) != word
    assert request_id("abc-123") == "abc-123"
