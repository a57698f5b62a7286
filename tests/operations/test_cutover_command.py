"""meterledger cutover, cutback and contract, typed by an operator; and the other commands then."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psycopg
import pytest

from tests.support.cutover import is_view, rolled_out
from tests.support.database import Database
from tests.support.servers import MakeDatabase
from toolkit.cli import run
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, EXIT_OPERATIONAL, EXIT_USAGE, OperationalError
from toolkit.operations.drift import compare, expected_fingerprint, fingerprint, starting_shape
from toolkit.operations.review.mend import retry
from toolkit.operations.status import State, read_status, state_of
from toolkit.rollout.standing import Data, data

TOPICS = ["--acknowledge", "upserts"]


@pytest.fixture
def database(
    make_database: MakeDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Database:
    """Of an environment that is protected, in whose folder the operator stands."""
    made, _, _ = rolled_out(make_database)
    for name in [name for name in os.environ if name.startswith("METERLEDGER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env.production").write_text(f"DATABASE_URL={made.url}\n")
    return made


def state(database: Database) -> State:
    with database.connect(autocommit=True) as connection:
        return state_of(read_status(connection, environment="production", url=database.url))


def test_the_whole_way(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    def types(*words: str, code: int = EXIT_OK) -> str:
        assert run(list(words)) == code, capsys.readouterr()
        shown = capsys.readouterr()
        return shown.out + shown.err

    assert "possible, with --acknowledge upserts" in types(
        "cutover", "production", "--plan", code=EXIT_FINDINGS
    )
    types("cutover", "production", "--plan", *TOPICS)
    assert "meterledger cutover production --acknowledge upserts" in types(
        "cutover", "production", code=EXIT_FINDINGS
    )
    # Protected: a yes is not enough.
    types("cutover", "production", *TOPICS, "--yes", code=EXIT_USAGE)
    assert not is_view(database)
    assert "is the table" in types("contract", "production", "--plan", code=EXIT_OPERATIONAL)
    told = types("cutover", "production", *TOPICS, "--confirm", "production", "--json")
    report, _ = json.JSONDecoder().raw_decode(told)
    assert (report["cut_over"], report["already"], report["rows"]) == (True, False, 16)
    assert state(database) is State.CUTOVER
    assert "nothing to do: cut over since" in types("cutover", "production")
    assert "meterledger cutback" in types(
        "rollback", "production", "--to", "data", "--plan", code=EXIT_FINDINGS
    )
    assert "cut over" in types("backfill", "production", "--yes", code=EXIT_OPERATIONAL)
    assert "nothing to compare since the cutover" in types("validate", "production")
    assert "no fresh, verified backup" in types(
        "contract", "production", "--plan", "--grace-days", "0", code=EXIT_FINDINGS
    )
    types("contract", "production", "--grace-days", "0", code=EXIT_FINDINGS)
    types("backup", "make", "production")
    # The name, always: a yes is no option.
    types("contract", "production", "--grace-days", "0", code=EXIT_USAGE)
    types("contract", "production", "--grace-days", "0", "--confirm", "staging", code=EXIT_USAGE)
    assert "dropped 16 archived rows" in types(
        "contract", "production", "--grace-days", "0", "--confirm", "production"
    )
    assert state(database) is State.CONTRACT
    types("doctor", "production")
    assert "possible" in types("cutback", "production", "--plan")
    types("cutback", "production", "--confirm", "production")
    assert "nothing to do" in types("cutback", "production")
    assert not is_view(database)
    types("validate", "production")
    types("doctor", "production")


def test_no_drift_where_it_is_cut_over(database: Database) -> None:
    database.rows("select ledger.cut_over('{upserts,functions}')")

    def drift() -> list[str]:
        with database.connect(autocommit=True) as connection:
            shape = starting_shape(connection)
            return [d.object for d in compare(fingerprint(connection), expected_fingerprint(shape))]

    assert drift() == []
    database.rows("drop trigger electricity_readings_check_rights on public.electricity_readings")
    database.rows("grant select on ledger.electricity_readings_archive to authenticated")
    assert drift() == [
        "grants on ledger.electricity_readings_archive to authenticated",
        "trigger electricity_readings_check_rights on public.electricity_readings",
    ]


def test_what_would_move_the_data_refuses(database: Database) -> None:
    """The archive still holds what a user deleted since: none of it may come back."""
    database.rows("select ledger.cut_over('{upserts,functions}')")
    database.rows("delete from public.electricity_readings")
    with pytest.raises(psycopg.Error, match="electricity_readings is a view"):
        database.rows("select ledger.migrate_data()")
    with pytest.raises(psycopg.Error, match="is a view over the events"):
        database.rows("select ledger.undo_data_migration()")
    with database.connect(autocommit=True) as connection:
        assert data(connection) is Data.MOVED
        with pytest.raises(OperationalError, match="nothing of the archived table"):
            retry(connection)
    assert database.rows("select from public.electricity_readings") == []
