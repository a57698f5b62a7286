"""meterledger deploy as an operator types it: plan, refusals, the rollout, killed and continued."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.operator import Answer
from tests.support.database import Database
from tests.support.deploying import PROGRAM, recorded
from tests.support.processes import CHECKOUT, environment, wait_until
from tests.support.rollout import history
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from toolkit.connection import parse
from toolkit.operations.deploy.lock import deploy_lock, holder
from toolkit.rollout import phases, verify

VERSIONS = [phase.version for phase in phases()]


@dataclass(frozen=True)
class Desk:
    """A folder with an .env file for each environment, where commands are typed."""

    folder: Path

    def has(self, name: str, database: Database, *lines: str) -> None:
        text = "\n".join((f"DATABASE_URL={database.url}", *lines, ""))
        (self.folder / f".env.{name}").write_text(text)

    def forgets(self, name: str) -> None:
        (self.folder / f".env.{name}").unlink()

    def starts(self, *words: str) -> subprocess.Popen[str]:
        cli = str(CHECKOUT / "node_modules/.bin/supabase")
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "deploy", *words],
            cwd=self.folder,
            env=environment({"METERLEDGER_SUPABASE_CLI": cli}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def types(self, *words: str) -> Answer:
        with self.starts(*words) as process:
            out, err = process.communicate(timeout=240)
        assert "Traceback" not in err, err
        return Answer(process.returncode, out, err)

    def kills_at(self, step: str, database: Database, *words: str) -> None:
        """Start a deploy; kill it, not its CLI, as soon as it has begun a file."""
        with self.starts(*words) as process:
            said = ""
            for line in process.stderr or ():
                said += line
                if line.strip() == f"{step} …":
                    break
            else:
                raise AssertionError(f"it never said {step}:\n{said}")
            wait_until(lambda: no_ledger(database) or any(row[1] for row in recorded(database)))
            process.kill()
            process.communicate(timeout=60)
        with database.connect() as connection:
            wait_until(lambda: holder(connection) is None)


def no_ledger(database: Database) -> bool:
    return bool(database.value("select to_regnamespace('ledger') is null"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def app(make_database: MakeDatabase) -> Database:
    """A deployed app before the rollout."""
    return make_database(StartingPoint.DUAL_WRITE)


def test_a_plan_shows_purpose_locks_and_checksums_and_changes_nothing(
    desk: Desk, app: Database
) -> None:
    desk.has("staging", app)

    answer = desk.types("staging", "--plan")

    assert answer.code == 0
    assert f"deploy plan for staging: {len(VERSIONS)} to apply" in answer.out
    assert (
        f"{VERSIONS[2]} index_token_events_key  [pending]  1 statement, concurrently" in answer.out
    )
    assert "purpose: phase 1, the index that becomes the tenant-safe key" in answer.out
    assert "locks: share update exclusive on token_events" in answer.out
    assert no_ledger(app)
    value = json.loads(desk.types("staging", "--plan", "--json").out)
    assert [file["version"] for file in value["files"]] == VERSIONS
    assert (value["pending"], value["refusals"]) == (len(VERSIONS), [])


def test_a_plan_offline_needs_no_database_and_shows_the_sql(desk: Desk) -> None:
    answer = desk.types("--plan", "--offline", "--sql")

    assert answer.code == 0
    assert f"-- {phases()[3].migration.name}" in answer.out
    assert phases()[3].migration.read_text() in answer.out
    assert "[not looked up]" in desk.types("--plan", "--offline").out
    assert desk.types("--offline").code == 2


def test_without_a_yes_nothing_is_done(desk: Desk, app: Database) -> None:
    desk.has("staging", app)
    asked = desk.types("staging")
    desk.forgets("staging")
    desk.has("production", app)
    protected = desk.types("production", "--yes")
    misnamed = desk.types("production", "--confirm", "staging")

    assert (asked.code, protected.code, misnamed.code) == (2, 2, 2)
    assert "--yes" in asked.err
    assert "--confirm production" in protected.err
    assert no_ledger(app)


def test_the_rollout_from_nothing_to_recorded(desk: Desk, app: Database) -> None:
    desk.has("production", app, "METERLEDGER_TIME_ZONE=Asia/Jakarta")

    answer = desk.types("production", "--confirm", "production", "--json")

    assert answer.code == 0, answer.err
    report = json.loads(answer.out)
    assert [one["version"] for one in report["applied"]] == VERSIONS
    assert "applied in" in answer.err
    assert "recorded as" in answer.err
    assert parse(app.url)["password"] not in answer.out + answer.err
    assert app.value("select time_zone || ' ' || environment from ledger.settings") == (
        "Asia/Jakarta production"
    )
    again = desk.types("production")
    assert (again.code, "nothing to apply" in again.out) == (0, True)
    desk.forgets("production")
    desk.has("staging", app)
    wrong = desk.types("staging", "--yes")
    assert wrong.code == 2
    assert "this database says that it is 'production'" in wrong.err


def test_a_second_deployer_gets_one_clear_error(desk: Desk, app: Database) -> None:
    desk.has("staging", app)
    with deploy_lock(app.url) as held, closing(held.connection):
        answer = desk.types("staging", "--yes")

    assert answer.code == 3
    assert "error: another deploy is at work on this database: " in answer.err
    assert answer.err.count("error: ") == 1
    assert "next: wait until it has ended" in answer.err


def test_killed_again_and_again_it_is_continued_to_the_end(desk: Desk, app: Database) -> None:
    desk.has("staging", app)
    for phase in (phases()[0], phases()[4], phases()[8]):
        desk.kills_at(phase.migration.stem, app, "staging", "--yes")

    answer = desk.types("staging", "--yes")

    assert answer.code == 0, answer.err
    assert f"was cut off at {VERSIONS[8]}" in answer.err
    assert history(app) == VERSIONS
    assert [row[:2] for row in recorded(app)] == [(version, False) for version in VERSIONS]
    with app.connect() as connection:
        verify(connection, phases())
