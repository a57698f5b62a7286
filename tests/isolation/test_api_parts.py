"""The parts of the proof through the API: what counts as a denial, and what is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import jwt
import pytest

from tests.isolation.test_api_isolation import DUAL
from tests.support import postgrest as support
from tests.support.database import Database
from tests.support.gateway import REST
from tests.support.postgrest import Keys, Rest, postgrest
from tests.support.servers import Databases
from toolkit.isolation.api.record import Denial, Probe, Record
from toolkit.isolation.api.target import ApiTarget
from toolkit.isolation.api.tokens import expired, forged, sign, user_claims
from toolkit.isolation.api.values import Moments, UnsendableError, change_of, row_of
from toolkit.isolation.api.wire import Answer, Wire
from toolkit.isolation.declaration import load_access
from toolkit.isolation.report import Kind

USER = "00000000-0000-4000-8000-000000000001"
PROBE = Probe("public.t", "user", "select")


def refusal(words: str, code: str = "42501", status: int = 403) -> Answer:
    return Answer(status, code, words)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal("permission denied for table t"), None),
        (refusal('new row violates row-level security policy for table "t"'), None),
        (refusal("permission denied for table t", status=401), None),
        (refusal("permission denied for table another_t"), Kind.UNCLEAR),
        (refusal("permission denied for table t_more"), Kind.UNCLEAR),
        (refusal("permission denied for schema ledger"), Kind.UNCLEAR),
        (refusal('relation "public.t" does not exist', "42P01", 404), Kind.UNCLEAR),
        (refusal('null value in column "x" of relation "t"', "23502", 400), Kind.UNCLEAR),
        (refusal("invalid input syntax for type uuid", "22P02", 400), Kind.UNCLEAR),
        (refusal("Could not find the 'x' column of 't'", "PGRST204", 400), Kind.UNCLEAR),
        (refusal("duplicate key value violates constraint t_key", "23505", 409), Kind.UNCLEAR),
        (refusal("canceling statement due to statement timeout", "57014", 500), Kind.UNCLEAR),
        (refusal("JWT expired", "PGRST301", 401), Kind.UNCLEAR),
        (refusal("Bad Gateway", "502", 502), Kind.UNCLEAR),
        (Answer(200, rows=({"id": 1},)), Kind.LEAK),
        (Answer(204, count=3), Kind.LEAK),
        (Answer(200, rows=(), count=0), Kind.UNCLEAR),  # let in, and found nothing by luck
        (Answer(204), Kind.UNCLEAR),
    ],
)
def test_only_a_refusal_of_the_object_itself_is_the_right_one(
    answer: Answer, kind: Kind | None
) -> None:
    assert Denial(about="t").judge(answer) is kind


def test_where_finding_nothing_is_right_a_malformed_request_is_not() -> None:
    denial = Denial(nothing=True)
    assert denial.judge(Answer(200, count=0)) is None
    assert denial.judge(Answer(200, rows=({"id": 1},))) is Kind.LEAK
    assert denial.judge(refusal("failed to parse filter", "PGRST100", 400)) is Kind.UNCLEAR


@pytest.mark.parametrize(
    ("kind", "twin", "counted", "found"),
    [
        (None, True, "denials", None),
        (None, False, "vacuous", Kind.VACUOUS),
        (Kind.UNCLEAR, False, "vacuous", Kind.VACUOUS),
        (Kind.UNCLEAR, True, "failed", Kind.UNCLEAR),
        (Kind.LEAK, False, "failed", Kind.LEAK),
        (Kind.LEAK, True, "failed", Kind.LEAK),
    ],
)
def test_a_denial_counts_only_beside_its_allowed_twin(
    kind: Kind | None, twin: bool, counted: str, found: Kind | None
) -> None:
    record = Record()
    assert record.verdict(PROBE, Answer(403), kind, twin=twin) is (found is None)
    assert getattr(record.tally, counted) == record.tally.probes == 1
    assert [finding.kind for finding in record.findings] == ([found] if found else [])


def test_a_finding_shows_no_words_of_the_server() -> None:
    record = Record()
    record.denied(
        PROBE, refusal("Key (email)=(somebody@example.test)", "23505"), Denial(), twin=True
    )
    assert "somebody" not in repr(record.findings)


def test_every_declared_row_and_change_can_be_sent() -> None:
    """So that no table is left out because an expression of its row became too clever."""
    access, moments = load_access(), Moments()
    kinds = {"affected_events": "jsonb"}
    for rule in access.of_kind("table"):
        if rule.schema in access.exposed:
            assert rule.owner
            row, again = (row_of(rule, USER, kinds, moments) for _ in range(2))
            assert row[rule.owner] == USER
            assert row.get("affected_events", []) == []
            assert not {"date", "event_date"} & row.keys() or row != again
            assert change_of(rule, kinds, moments)


def test_expressions_become_values() -> None:
    rule = next(load_access().of_kind("table"))
    row = {
        "a": "'it''s of {user}, {n}'",
        "b": "-2.5",
        "c": "null",
        "d": "'{\"x\": [1]}'",
        "e": "{n}",
        "f": "true",
    }
    made = row_of(replace(rule, row=row), USER, {"d": "jsonb"}, Moments())
    texts = {"a": f"it's of {USER}, 1", "b": -2.5, "c": None}
    assert made == {**texts, "d": {"x": [1]}, "e": 2, "f": True}
    touch = "a = 'x, y = 1', b = null,c=3"
    changed = change_of(replace(rule, touch=touch), {}, Moments())
    assert changed == {"a": "x, y = 1", "b": None, "c": 3}
    with pytest.raises(UnsendableError):
        row_of(replace(rule, row={"a": "gen_random_uuid()"}), USER, {}, Moments())


def test_a_row_of_a_view_is_made_up_from_its_columns() -> None:
    rule = load_access().rules["public.electricity_readings_v"]
    columns = {"id": "uuid", "user_id": "uuid", "date": "date", "kwh_value": "numeric"}
    row = row_of(rule, USER, {**columns, "notes": "text"}, Moments())
    assert row.keys() == {*columns, "notes"}
    assert row["user_id"] == USER
    assert change_of(rule, {**columns, "notes": "text"}, Moments()) == {"notes": "isolation probe"}


@pytest.fixture(scope="module")
def rest(databases: Callable[[int], Databases]) -> Iterator[Rest]:
    owner = databases(17)
    database = owner.make(DUAL)
    with postgrest(database) as running:
        yield running
    owner.drop(database)


def test_the_server_takes_good_tokens_and_refuses_each_forged_one(rest: Rest) -> None:
    database: Database = rest.database
    user, keys = str(database.add_user()), rest.keys

    def ask(token: str) -> tuple[int, list[object]]:
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.get(f"{rest.url}{REST}/user_profiles?select=id", headers=headers)
        return answer.status_code, answer.json() if answer.status_code == 200 else []

    mine = (200, [{"id": user}])
    good = sign(user_claims(user), keys.secret)
    assert ask(keys.user(user)) == ask(good) == mine
    assert ask(keys.service)[0] == 200
    bad = {
        **forged(good),
        "expired": expired(user, keys.secret),
        "expired too": keys.expired(user),
        "unsigned": keys.unsigned(user),
        "wrong key": keys.wrong_key(user),
        "raised": keys.raised(user),
        "tampered": keys.tampered(user),
    }
    assert {name: ask(token) for name, token in bad.items()} == dict.fromkeys(bad, (401, []))
    assert ask(keys.without_sub()) == (200, [])
    assert ask(keys.with_odd_sub())[1] == []


def test_forged_tokens_differ_from_the_good_one_in_what_they_are_named_for() -> None:
    good = sign(user_claims(USER), "s" * 40)
    made = forged(good)
    assert len({*made.values(), good}) == len(made) + 1
    for name, token in made.items():
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["sub"] == USER
        assert (claims["role"] == "service_role") == ("raised" in name)
        with pytest.raises(jwt.InvalidTokenError):
            jwt.decode(token, "s" * 40, algorithms=["HS256"], audience="authenticated")


def test_the_schema_is_read_again_when_asked(rest: Rest) -> None:
    headers = {"Authorization": f"Bearer {rest.keys.service}"}
    create = "create table public.late (id int); grant select on public.late to service_role"
    with rest.database.connect() as connection:
        connection.execute(create.encode())
    rest.reload()
    described = httpx.get(f"{rest.url}{REST}/", headers=headers).json()
    assert "/late" in described["paths"]


def test_what_is_shown_of_a_request_holds_no_key_and_no_token(rest: Rest) -> None:
    keys: Keys = rest.keys
    token = keys.user(USER)
    target = ApiTarget(rest.url, keys.anon, keys.service, keys.secret)
    with Wire(target) as wire:
        callers = [wire.anon(), wire.service(keys.service), wire.bearer("user", token)]
        shown = [caller.send(caller.table("user_profiles").select("*")).curl for caller in callers]
    for secret in (keys.anon, keys.service, keys.secret, token, "eyJ", rest.url):
        assert secret not in " ".join([*shown, repr(target), repr(callers)]) or secret == rest.url
    assert [line.count("$URL") for line in shown] == [1, 1, 1]
    assert "$SERVICE_KEY" in shown[1]
    assert "$TOKEN" in shown[2]


def test_where_there_is_no_postgrest_the_reason_is_the_listed_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(support, "CHECKOUT", tmp_path)
    with pytest.raises(pytest.skip.Exception, match=r"^no PostgREST for this platform in node_mod"):
        support.binary()
