"""Sampling, drift and the second look: what a validation leaves out, adds, and takes back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.database import Database
from tests.support.proven import proven, proven_copy
from tests.support.servers import Databases, default_major
from toolkit.cli import run
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, EXIT_USAGE
from toolkit.validation.recheck import REMEMBERED, due, seen_twice
from toolkit.validation.report import CheckResult, Finding, Verdict
from toolkit.validation.run import validate

Types = Callable[..., tuple[int, str, str]]
DEAR = ("lossless", "projection_is_live", "kwh_sums", "reference")
SAMPLE = (
    "select u.user_id from (select user_id from public.token_events union"
    " select user_id from public.electricity_readings where user_id is not null) as u"
    " order by md5(u.user_id::text) limit 3"
)


@pytest.fixture(scope="module")
def database(databases: Callable[[int], Databases]) -> Iterator[Database]:
    """A copy of a proven database; each test leaves it valid."""
    with proven_copy(databases(default_major())) as copy:
        yield copy


@pytest.fixture
def types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Types:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METERLEDGER_HOME", str(tmp_path / "home"))

    def type_in(*words: str) -> tuple[int, str, str]:
        code = run(["validate", *words])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return type_in


def spoil(database: Database, user: object) -> None:
    with database.admin() as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "update ledger.readings set kwh_value = kwh_value + 1 where user_id = %s", (user,)
        )


def mend(database: Database) -> None:
    database.rows("select ledger.project_everything()")


def users_of(database: Database) -> tuple[object, object]:
    """A user in the sample of three, and one who is not, both with readings."""
    sample = [user for (user,) in database.rows(SAMPLE)]
    inside = database.value(
        "select min(user_id::text) from ledger.readings where user_id = any (%s)", (sample,)
    )
    outside = database.value(
        "select min(user_id::text) from ledger.readings where user_id <> all (%s)", (sample,)
    )
    return inside, outside


def test_a_sample_sees_its_users_and_no_others(database: Database) -> None:
    inside, outside = users_of(database)
    quiet = validate(database.url, sample=3)
    spoil(database, outside)
    unseen = {name: validate(database.url, sample=3).result(name) for name in DEAR}
    mend(database)
    spoil(database, inside)
    seen = validate(database.url, sample=3)
    mend(database)

    assert quiet.valid
    for name in DEAR:
        assert quiet.result(name).figures["users"] == 3
        assert unseen[name].verdict is Verdict.OK
    for name in ("projection_is_live", "reference"):
        assert seen.result(name).verdict is Verdict.FAIL
        assert {found.user_id for found in seen.result(name).findings} == {inside}


def test_what_is_cheap_looks_at_everybody_all_the_same(database: Database) -> None:
    spoil(database, users_of(database)[1])
    report = validate(database.url, sample=3)
    mend(database)

    assert report.result("mv_is_projection").verdict is Verdict.FAIL
    assert not report.valid


def test_a_sample_of_everybody_is_the_full_check(database: Database) -> None:
    full, sampled = validate(database.url), validate(database.url, sample=10_000)
    positions = full.result("reference").figures["positions"]

    assert positions == sampled.result("reference").figures["positions"] > 0
    assert "users" not in full.result("reference").figures


def test_what_was_in_order_a_moment_later_moved_meanwhile(database: Database) -> None:
    spoil(database, users_of(database)[0])

    def settle(result: CheckResult) -> None:
        if result.name == "plan":  # the last one of the first snapshot
            mend(database)

    report = validate(database.url, on_check=settle)

    assert report.valid
    moved = report.result("projection_is_live")
    assert moved.verdict is Verdict.NOTE
    assert moved.count == moved.figures["moved_meanwhile"] > 0
    assert all(found.text.startswith("moved meanwhile: ") for found in moved.findings)
    assert "validate again" in moved.next_step
    assert report.differences == 0


def test_what_stays_is_a_failure_and_told_apart_from_what_moved(database: Database) -> None:
    inside, outside = users_of(database)
    spoil(database, inside)
    alone = validate(database.url).result("projection_is_live")
    spoil(database, outside)

    def settle(result: CheckResult) -> None:
        if result.name == "plan":
            database.rows("select ledger.project_everything(array[%s]::uuid[])", (outside,))

    result = validate(database.url, on_check=settle, keep=1000).result("projection_is_live")
    mend(database)

    assert result.verdict is Verdict.FAIL
    assert result.count == alone.count == len(result.findings)
    assert result.figures["moved_meanwhile"] > 0
    assert {found.user_id for found in result.findings} == {inside}


def test_each_check_is_told_once_and_listed_in_its_place(database: Database) -> None:
    usual = [check.name for check in validate(database.url).checks]
    spoil(database, users_of(database)[0])
    told: list[str] = []
    report = validate(database.url, on_check=lambda result: told.append(result.name))
    mend(database)

    assert [check.name for check in report.checks] == usual
    assert sorted(told) == sorted(usual)


def test_too_many_findings_are_no_accident() -> None:
    row = Finding("u", "r", "wrong")
    many = CheckResult("lossless", "", Verdict.FAIL, REMEMBERED + 1, (row,))
    few = CheckResult("lossless", "", Verdict.FAIL, 1, (row,))
    nameless = CheckResult("lossless", "", Verdict.FAIL, 1, (Finding(None, None, "broken"),))

    assert due([many]) == frozenset()
    assert due([few]) == {"lossless"}
    assert seen_twice(few, many) == few
    assert seen_twice(few, nameless) == few
    assert seen_twice(nameless, few) == nameless


def test_drift_is_a_check_of_the_command(
    databases: Callable[[int], Databases], types: Types
) -> None:
    shared = proven(databases(default_major()))
    code, out, err = types("--database-url", shared.url, "--json", "--sample", "2")
    drift = json.loads(out)["checks"][-1]

    assert code == EXIT_OK
    assert (drift["name"], drift["verdict"], drift["count"]) == ("drift", "ok", 0)
    assert drift["figures"]["sha256"] == drift["figures"]["expected_sha256"]
    assert "replaying" in err or drift["seconds"] < 1  # done before in this process


def test_a_drifted_database_fails(database: Database, types: Types) -> None:
    with database.connect() as connection:
        connection.execute("alter table ledger.heads add column stray int")
    code, out, _ = types("--database-url", database.url)
    without = types("--database-url", database.url, "--no-drift")
    with database.connect() as connection:
        connection.execute("alter table ledger.heads drop column stray")

    assert code == EXIT_FINDINGS
    assert "extra: column ledger.heads.stray | + integer | next: drop it" in out
    assert without[0] == EXIT_OK
    assert "the catalog is what" not in without[1]


def test_full_and_sample_are_not_both(database: Database, types: Types) -> None:
    assert types("--database-url", database.url, "--full", "--sample", "3")[0] == EXIT_USAGE
    assert types("--database-url", database.url, "--sample", "0")[0] == EXIT_USAGE
    assert types("--database-url", database.url, "--full", "--no-drift")[0] == EXIT_OK
