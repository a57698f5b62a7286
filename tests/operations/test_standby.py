"""A real standby as the target: it can be looked at, and whatever would change it is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction

from tests.support.database import Database
from tests.support.deploying import deploys, refused
from tests.support.events import TOPUP, record
from tests.support.servers import Databases, NoBinariesError, Template, binaries_of
from tests.support.standby import PRIMARY_SETTINGS, catch_up, on, streaming_standby
from tests.support.typing_in import Types, types_in
from toolkit.bootstrap import StartingPoint
from toolkit.cli import app
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, EXIT_OPERATIONAL, OperationalError
from toolkit.local.server import Server
from toolkit.local.temporary import temporary_server
from toolkit.operations.deploy import plan_deploy
from toolkit.operations.preflight import Verdict, options
from toolkit.operations.preflight.run import preflight
from toolkit.rollout import phases


@dataclass(frozen=True)
class Pair:
    """A primary with two databases, and what its standby shows of them.

    Attributes:
        primary: the server.
        before, after: databases before and after the rollout, on the primary.
        standby_before, standby_after: the same on the standby.
    """

    primary: Server
    before: Database
    after: Database
    standby_before: Database
    standby_after: Database


@pytest.fixture(scope="module", params=[17, 15])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    try:
        binaries = binaries_of(request.param)
    except NoBinariesError as error:
        pytest.skip(str(error))
    with temporary_server(binaries=binaries, settings=PRIMARY_SETTINGS) as primary:
        databases = Databases(primary)
        before = databases.make(Template(StartingPoint.DUAL_WRITE))
        after = databases.make(Template(StartingPoint.DUAL_WRITE, migrated=True))
        with streaming_standby(primary) as standby:
            catch_up(primary)
            yield Pair(primary, before, after, on(standby, before), on(standby, after))


@pytest.fixture
def types(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Types:
    for name, database in (("before", pair.standby_before), ("after", pair.standby_after)):
        file = tmp_path / f".env.{name}"
        file.write_text(
            f"DATABASE_URL={database.url}\nMETERLEDGER_RECEIPT_KEY={'k' * 32}\n"
            "METERLEDGER_TIME_ZONE=UTC\n"
        )
        file.chmod(0o600)
    return types_in(app, tmp_path, monkeypatch, capsys)


def test_it_follows_its_primary(pair: Pair) -> None:
    """So that it is a standby at work, and no stopped copy."""
    user = pair.after.add_user()
    catch_up(pair.primary)

    assert pair.standby_after.value("select pg_is_in_recovery()") is True
    assert pair.standby_after.rows("select id from auth.users") == [(user,)]


def test_users_read_their_own_rows_on_it_and_write_none(pair: Pair) -> None:
    ana, ben = pair.after.add_user(), pair.after.add_user()
    for user, kwh in ((ana, 30), (ben, 40)):
        with pair.after.as_user(user) as request:
            record(request, user, TOPUP, kwh, created_by=user)
    catch_up(pair.primary)

    with pair.standby_after.as_user(ana) as request:
        assert request.execute(
            "select user_id, kwh_value from public.electricity_readings_v"
        ).fetchall() == [(ana, 30)]
        positions = "select calculated_position from public.calculate_user_positions(%s)"
        assert request.execute(positions, (ana,)).fetchall() == [(30,)]
        assert request.execute(positions, (ben,)).fetchall() == []
    with pytest.raises(ReadOnlySqlTransaction), pair.standby_after.as_user(ana) as request:
        record(request, ana, TOPUP, 1, created_by=ana)
    with (
        pytest.raises(InsufficientPrivilege),
        pair.standby_after.as_role("anon") as request,
    ):
        request.execute("select from public.electricity_readings_v")


def test_preflight_goes_through_and_fails_with_the_reason(pair: Pair, types: Types) -> None:
    report = preflight(pair.standby_before.url, options("staging"))

    failed = {item.name: item for item in report.items if item.verdict is Verdict.FAIL}
    assert list(failed) == ["writable"]
    assert "this server is a standby" in failed["writable"].detail
    assert failed["writable"].next_step == "connect to the primary"
    code, out, _ = types("preflight", "before", "--json")
    assert (code, json.loads(out)["ready"]) == (EXIT_FINDINGS, False)


def test_a_deploy_is_refused_and_its_plan_is_shown(pair: Pair) -> None:
    for database in (pair.standby_before, pair.standby_after):
        error = refused(database)
        assert isinstance(error, OperationalError)
        assert error.message == "the server is a read-only replica"
        assert error.next_step == "point DATABASE_URL at the primary"

    assert len(plan_deploy(pair.standby_before.url).pending) == len(phases())
    assert pair.before.value("select to_regclass('ledger.settings')") is None


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("backfill", "after", "--yes"), EXIT_OPERATIONAL),
        (("rollback", "after", "--to", "data", "--yes"), EXIT_OPERATIONAL),
        (("env", "record", "after"), EXIT_OPERATIONAL),
        (("rollout", "before", "--yes"), EXIT_FINDINGS),  # its first step is red
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_would_change_it_is_one_error_that_names_the_primary(
    words: tuple[str, ...], code: int, types: Types
) -> None:
    answer = types(*words)

    assert answer[0] == code, answer
    assert "primary" in answer[1] + answer[2]
    assert answer[2].count("error: ") == (code == EXIT_OPERATIONAL)


def test_status_works_and_says_what_the_primary_says(pair: Pair, types: Types) -> None:
    for name, state in (("before", "nothing"), ("after", "backfill")):
        code, out, _ = types("status", name, "--json")
        assert code == EXIT_OK
        assert json.loads(out)["state"] == state
    assert ", a replica, " in types("status", "after")[1]


def test_a_check_of_the_environment_warns(types: Types) -> None:
    code, out, _ = types("env", "check", "after", "--no-api")

    assert code == EXIT_OK
    assert "a replica: it can be looked at, and takes no writes" in out


def test_a_backup_may_be_taken_of_it(types: Types) -> None:
    code, out, err = types("backup", "after", "--json")

    assert code == EXIT_OK, err
    assert json.loads(out)["verified"] is True


def test_what_the_primary_gets_the_standby_shows(pair: Pair, types: Types) -> None:
    """Last: the primary is rolled out, and the standby's status follows."""
    deploys(pair.before)
    catch_up(pair.primary)

    code, out, _ = types("status", "before", "--json")
    assert code == EXIT_OK
    assert json.loads(out)["state"] != "nothing"
