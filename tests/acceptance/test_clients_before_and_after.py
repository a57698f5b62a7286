"""The same calls through the real PostgREST, before the cutover and after: what an old client sees.

What differs is listed here, whole, and told in docs/clients.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tests.support.database import Database
from tests.support.legacy_calls import ALICE, BOB, CAROL, EVERYTHING, reading_id
from tests.support.postgrest import Keys, postgrest
from tests.support.rest_calls import Answer, ask
from tests.support.rollout import apply
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint

CUT_OVER = "select ledger.cut_over('{upserts,functions,policies,realtime}')"
CUT_BACK = "select ledger.cut_back()"
UNSEEN = {"PGRST_DB_CHANNEL_ENABLED": "false"}  # PostgREST goes on as of the schema before
Told = tuple[int, str]  # HTTP's status, and the error's code

# Call: what comes after the cutover, in place of what came before it.
SIGNED_OUT: Mapping[str, Told] = {
    "read signed out": (401, "42501"),
    "patch signed out": (401, "42501"),
    "delete signed out": (401, "42501"),
    "insert signed out": (401, "42501"),  # refused before too, in other words
    "embed the readings signed out": (401, "42501"),
}
NAMED_CONFLICT: Mapping[str, Told] = {
    "upsert by id, a new one": (400, "42P10"),
    "upsert by id, again": (400, "42P10"),
    "insert by id unless it is there": (400, "42P10"),
}
ROWS: Mapping[str, Told] = {
    "not a number": (400, "ML220"),
    "no created_at": (201, ""),  # the instant of its day
    "another user's id": (201, ""),  # ids are a user's own
}
AFTER_CUTOVER: Mapping[str, Told] = {
    **SIGNED_OUT,
    **NAMED_CONFLICT,
    **ROWS,
    "upsert it again": (400, "ML221"),
    "put, there": (405, "PGRST105"),
    "put, not there": (405, "PGRST105"),
    "the place of a new one": (201, ""),  # without a Location
}
# Until PostgREST has read the schema again, a moment after the switch.
RIGHT_AFTER_CUTOVER: Mapping[str, Told] = {
    **SIGNED_OUT,
    **NAMED_CONFLICT,
    **ROWS,
    "upsert a new one": (400, "42P10"),
    "upsert it again": (400, "42P10"),
    "insert unless it is there": (400, "42P10"),
    "insert unless it is there, and it is": (400, "42P10"),
    "insert what is not there of two": (400, "42P10"),
    "put, there": (400, "42P10"),
    "put, not there": (400, "42P10"),
}
RIGHT_AFTER_CUTBACK: Mapping[str, Told] = {
    "upsert it again": (409, "23505"),
    "insert unless it is there, and it is": (409, "23505"),
    "insert what is not there of two": (409, "23505"),
    "put, there": (405, "PGRST105"),
    "put, not there": (405, "PGRST105"),
    "the place of a new one": (201, ""),
}


@pytest.mark.parametrize(
    ("before_start", "after_start", "told_otherwise"),
    [
        ([CUT_OVER], [], AFTER_CUTOVER),
        pytest.param([], [CUT_OVER], RIGHT_AFTER_CUTOVER, marks=pytest.mark.slow),
        pytest.param([CUT_OVER, CUT_BACK], [], {}, marks=pytest.mark.slow),
        ([CUT_OVER], [CUT_BACK], RIGHT_AFTER_CUTBACK),
    ],
    ids=["cut over", "right after the cutover", "cut back", "right after the cutback"],
)
def test_an_old_client_is_told_the_same(
    make_database: MakeDatabase,
    before_start: list[str],
    after_start: list[str],
    told_otherwise: Mapping[str, Told],
) -> None:
    untouched, switched = household(make_database), household(make_database)
    keys = Keys()
    tokens = {
        "alice": keys.user(ALICE),
        "carol": keys.user(CAROL),
        "service": keys.service,
        "nobody": "",
    }
    for statement in before_start:
        switched.rows(statement)
    with (
        postgrest(untouched, keys=keys) as old,
        postgrest(switched, keys=keys, options=UNSEEN) as new,
    ):
        for statement in after_start:
            switched.rows(statement)
        different: dict[str, Told] = {}
        for name, call in EVERYTHING.items():
            was, now = (ask(rest, call, tokens[call.who]) for rest in (old, new))
            if name in told_otherwise:
                assert comparable(was) != comparable(now), name
                different[name] = told(now)
            else:
                assert comparable(was) == comparable(now), name
    assert different == dict(told_otherwise)


def household(make_database: MakeDatabase) -> Database:
    """Alice and Bob with readings of their own, rolled out; the same ids and times each time."""
    database = make_database(StartingPoint.LEGACY_ONLY)
    with database.connect() as connection:
        connection.cursor().executemany(
            "insert into auth.users (id, email) values (%s, %s)",
            [(user, f"{user}@example.test") for user in (ALICE, BOB)],
        )
        connection.execute("update user_profiles set created_at = '-infinity', updated_at = null")
        connection.execute(
            "insert into electricity_readings (id, user_id, date, kwh_value, token_amount,"
            " token_cost, created_at) values"
            " (%s, %s, '2024-03-01', 50, 20, 28894, '2024-03-01 09:00+00'),"
            " (%s, %s, '2024-03-02', 12.5, null, null, '2024-03-02 09:00+00'),"
            " (%s, %s, '2024-03-03', 11, null, null, '2024-03-03 09:00+00')",
            (reading_id(1), ALICE, reading_id(2), BOB, reading_id(3), ALICE),
        )
    apply(database, time_zone="Asia/Jakarta")
    return database


def comparable(answer: Answer) -> tuple[int, list[tuple[str, str]], str]:
    """All of it, with what the server draws or reads off the clock made equal."""
    drawn = re.compile(r"\b(?!00000000)[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f-]{21}\b")
    clock = re.compile(r"\b(?!2024-)20\d\d-\d\d-\d\d[T ][\d:.]+\+00(:00)?")
    return (
        answer.status,
        sorted(answer.headers.items()),
        clock.sub("T", drawn.sub("U", answer.body)),
    )


def told(answer: Answer) -> Told:
    content = answer.content
    return answer.status, content["code"] if isinstance(content, dict) else ""


def test_an_old_client_finds_a_reading_by_its_id_through_an_index(
    make_database: MakeDatabase,
) -> None:
    """The view hides that id is part of a key, from PostgREST and not from the planner."""
    database = household(make_database)
    database.rows(CUT_OVER)
    with database.as_user(ALICE) as request:
        request.execute("set local enable_seqscan = off")
        plan = request.execute(
            "explain select * from electricity_readings where id = %s", (reading_id(1),)
        ).fetchall()
    assert re.search(r"Index Cond: .*\bid = ", "\n".join(line for (line,) in plan))
