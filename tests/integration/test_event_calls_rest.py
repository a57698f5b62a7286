"""The calls through a real PostgREST: by Supabase's Python client and by supabase-js."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from postgrest import APIError, SyncPostgrestClient
from supabase.lib.client_options import SyncClientOptions

from supabase import create_client
from tests.support.events import READING, TOPUP, VOID, shared_database
from tests.support.gateway import REST
from tests.support.postgrest import Rest, postgrest
from tests.support.processes import CHECKOUT
from tests.support.servers import Databases

FUNCTIONS = {
    *("record_event", "void_event", "replace_event"),
    *("preview_backdate", "recalculate", "rollback_recalculation"),
}
SCRIPT = """
import { createClient } from '@supabase/supabase-js'
const [url, key, token] = process.argv.slice(2)
class NoSocket {}
const supabase = createClient(url, key, {
  accessToken: async () => token,
  realtime: { transport: NoSocket },
})
const act = {
  p_event_type: 'TOPUP', p_kwh_amount: 50, p_token_cost: 72235,
  p_event_date: '2026-01-05T09:30:00.000Z', p_idempotency_key: 'from-js',
}
const first = await supabase.rpc('record_event', act)
const again = await supabase.rpc('record_event', act)
const refused = await supabase.rpc('record_event', { ...act, p_kwh_amount: 51 })
console.log(JSON.stringify([first, again, refused]))
process.exit(0)
"""


@pytest.fixture(scope="module")
def rest(databases: Callable[[int], Databases]) -> Iterator[Rest]:
    for database in shared_database(databases(17)):
        with postgrest(database) as server:
            yield server


@pytest.fixture
def token(rest: Rest) -> str:
    return rest.keys.user(rest.database.add_user())


@pytest.fixture
def client(rest: Rest, token: str) -> Iterator[SyncPostgrestClient]:
    with httpx.Client() as session:
        options = SyncClientOptions(
            auto_refresh_token=False, persist_session=False, httpx_client=session
        )
        supabase = create_client(rest.url, rest.keys.anon, options)
        supabase.postgrest.auth(token)
        yield supabase.postgrest


def call(client: SyncPostgrestClient, name: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401
    answer = client.rpc(name, {f"p_{key}": value for key, value in arguments.items()}).execute()
    assert isinstance(answer.data, dict)
    return answer.data


def at(number: int) -> str:
    return f"2026-01-0{number}T00:00:00+00:00"


def test_a_client_records_edits_voids_and_takes_back(client: SyncPostgrestClient) -> None:
    told = {"event_type": READING, "kwh_amount": 10, "event_date": at(1)}
    assert call(client, "record_event", **told)["position_kwh"] == 10
    last = call(client, "record_event", event_type=TOPUP, kwh_amount=5, event_date=at(4))
    late = {"event_type": TOPUP, "kwh_amount": 7, "event_date": at(2)}
    [preview] = call(client, "preview_backdate", **late)["later"]
    assert (preview["event_id"], preview["new_kwh"]) == (last["event"]["id"], 22)
    wrong = call(client, "record_event", **late, idempotency_key="k")
    assert call(client, "record_event", **late, idempotency_key="k") == wrong
    edited = call(
        client, "replace_event", event_id=wrong["event"]["id"], changes={"kwh_amount": 8},
        reason="typo",
    )  # fmt: skip
    voided = call(client, "void_event", event_id=edited["event"]["id"], reason="not mine")
    assert voided["batch"]["affected_events"][0]["new_kwh"] == 15
    back = call(client, "rollback_recalculation", batch_id=voided["batch"]["id"], reason="oops")
    assert back["affected_events"][0]["new_kwh"] == 23

    shown = client.from_("electricity_readings_v").select("kwh_value").order("date").execute()
    assert [row["kwh_value"] for row in shown.data] == [10, 18, 23]  # type: ignore[call-overload, index]
    direct = client.from_("token_events").insert(
        {"user_id": wrong["event"]["user_id"], "event_type": TOPUP, "kwh_amount": 1,
         "event_date": at(3)}
    ).execute()  # fmt: skip
    event = direct.data[0]["id"]  # type: ignore[call-overload, index]
    assert call(client, "recalculate", event_id=event)["batch"]["events_count"] == 1


def test_a_preview_may_be_asked_for_by_get(rest: Rest, token: str) -> None:
    answer = httpx.get(
        f"{rest.url}{REST}/rpc/preview_backdate",
        params={"p_event_type": TOPUP, "p_kwh_amount": "7"},
        headers={"apikey": rest.keys.anon, "Authorization": f"Bearer {token}"},
    )
    assert answer.json() == {"position_kwh": 7, "consumption_kwh": None, "later": []}


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("record_event", {"event_type": TOPUP, "kwh_amount": -5}, "23514"),
        ("record_event", {"event_type": VOID, "kwh_amount": 0}, "ML203"),
        (
            "record_event",
            {"event_type": TOPUP, "kwh_amount": 5, "event_date": "2999-01-01"},
            "ML201",
        ),
        ("void_event", {"event_id": str(uuid4())}, "ML204"),
        ("replace_event", {"event_id": str(uuid4()), "changes": {}}, "ML200"),
        ("rollback_recalculation", {"batch_id": str(uuid4())}, "ML204"),
    ],
    ids=["negative", "void", "future", "no event", "no change", "no batch"],
)
def test_a_client_sees_the_code_the_words_and_the_next_step(
    client: SyncPostgrestClient, name: str, arguments: dict[str, Any], code: str
) -> None:
    with pytest.raises(APIError) as raised:
        call(client, name, **arguments)
    assert raised.value.code == code
    assert raised.value.message
    assert raised.value.hint


def test_who_is_not_signed_in_is_refused(rest: Rest) -> None:
    for key, status, code in ((rest.keys.anon, 401, "42501"), (rest.keys.service, 403, "42501"),
                              (rest.keys.without_sub(), 403, "28000")):  # fmt: skip
        answer = httpx.post(
            f"{rest.url}{REST}/rpc/record_event",
            json={"p_event_type": TOPUP, "p_kwh_amount": 1},
            headers={"apikey": rest.keys.anon, "Authorization": f"Bearer {key}"},
        )
        assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_what_the_calls_share_is_not_served(rest: Rest, token: str) -> None:
    described = httpx.get(
        f"{rest.url}{REST}/",
        headers={"apikey": rest.keys.anon, "Authorization": f"Bearer {token}"},
    ).json()
    served = {path.removeprefix("/rpc/") for path in described["paths"] if "/rpc/" in path}
    assert served == {*FUNCTIONS, "calculate_user_positions"}


def test_supabase_js_records_repeats_and_is_told_why_not(rest: Rest, token: str) -> None:
    node = shutil.which("node")
    assert node is not None
    done = subprocess.run(
        [node, "--input-type=module", "-", rest.url, rest.keys.anon, token],
        input=SCRIPT, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, again, other = json.loads(done.stdout)

    assert first["data"]["event"]["kwh_amount"] == first["data"]["position_kwh"] == 50
    assert again["data"] == first["data"]
    assert (other["data"], other["error"]["code"]) == (None, "ML206")
