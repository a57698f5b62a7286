"""Every step of the deploying workflows, in order, as the runner runs it: staging to rollback.

The steps are those of the files, in bash without a terminal, each job in a checkout of its own,
against two real databases. GitHub itself is a fake: its API, its artifacts, its approvals.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.operator import Operator
from tests.support.apps import ZONE, two_apps
from tests.support.database import Database
from tests.support.fake_github import PULL_REQUEST, TOKEN, FakeGitHub, fake_github
from tests.support.runner import Runner, Step
from tests.support.servers import Databases, default_major
from tests.support.workflows import workflows
from toolkit.connection import parse

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
KEY = "0123456789abcdef" * 4
COMMIT = "c0ffee" + "0" * 34
UNATTENDED = "production-unattended"


@dataclass
class Project:
    """A repository with its environments.

    Attributes:
        runner: of its jobs.
        github: the fake.
        apps: staging and production.
        store: where backups are kept.
    """

    runner: Runner
    github: FakeGitHub
    apps: dict[str, Database]
    store: Path

    def run(self, name: str, **inputs: str) -> list[Step]:
        """A workflow; no secret is told by it."""
        steps = self.runner.run(workflows()[name], **inputs)
        said = "\n".join(step.said for step in steps)
        for secret in (KEY, TOKEN, *(parse(app.url)["password"] for app in self.apps.values())):
            assert secret not in said
            assert secret not in str(self.runner.artifacts)
        return steps


@pytest.fixture(scope="module")
def project(databases: Callable[[int], Databases], operator: Operator) -> Iterator[Project]:
    with two_apps(databases(default_major())) as apps, fake_github() as github:
        store = operator.folder / "store"
        secrets = {
            name: {"DATABASE_URL": apps[app].url, "METERLEDGER_RECEIPT_KEY": KEY}
            for name, app in (
                ("staging", "staging"),
                ("production", "production"),
                (UNATTENDED, "production"),
            )
        }
        variables = {name: {"METERLEDGER_TIME_ZONE": ZONE} for name in secrets}
        variables["production"] |= {"BACKUP_ROLE": "", "BACKUP_STORE": str(store)}
        runner = Runner(operator.folder, github.url, COMMIT, secrets, variables)
        yield Project(runner, github, apps, store)


def shown(steps: list[Step]) -> str:
    return "\n".join(f"{step.job}/{step.name}: {step.code}\n{step.said}" for step in steps)


def green(steps: list[Step], *jobs: str) -> None:
    assert not [step for step in steps if step.code], shown(steps)
    assert list(dict.fromkeys(step.job for step in steps)) == list(jobs)


def ended(steps: list[Step], job: str) -> dict[str, int | None]:
    return {step.name: step.code for step in steps if step.job == job}


def migrated(database: Database) -> object:
    return database.value("select count(*) from ledger.migrated_readings")


def test_production_waits_for_staging(project: Project) -> None:
    steps = project.run("promote-production")

    assert {step.job for step in steps} == {"plan"}
    assert ended(steps, "plan")["Staging's receipt of this commit"] not in (0, None)
    assert "no green run of c0ffee" in shown(steps)
    assert project.apps["production"].value("select to_regclass('ledger.settings')") is None


def test_staging_is_deployed_proven_and_leaves_a_receipt(project: Project) -> None:
    steps = project.run("deploy-staging")

    green(steps, "plan", "comment", "deploy")
    ((number, text),) = project.github.comments
    assert number == PULL_REQUEST
    assert "create_event_sourcing_tables" in text
    (receipt,) = project.runner.artifacts["receipt"].values()
    assert json.loads(receipt)["receipt"]["environment"] == "staging"
    assert b"<html" in project.runner.artifacts["isolation"]["isolation.html"]
    project.github.receipts[COMMIT] = project.runner.artifacts["receipt"]


def test_a_receipt_of_another_key_is_refused_before_anybody_approves(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {**project.runner.secrets[UNATTENDED], "METERLEDGER_RECEIPT_KEY": "f" * 64}
    monkeypatch.setattr(project.runner, "secrets", {UNATTENDED: secrets})
    steps = project.run("promote-production")

    assert {step.job for step in steps} == {"plan"}
    assert ended(steps, "plan")["Is it good enough for production?"] == 1
    assert "is not signed with this METERLEDGER_RECEIPT_KEY" in shown(steps)


def test_what_cannot_keep_its_backup_stops_before_a_change(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {
        **project.runner.variables,
        "production": {**project.runner.variables["production"], "BACKUP_STORE": ""},
    }
    monkeypatch.setattr(project.runner, "variables", variables)
    steps = project.run("promote-production")

    codes = ended(steps, "promote")
    assert codes["Keep the backup, before anything is changed"] == 2, shown(steps)
    assert codes["Promote"] is None
    assert codes["Where it stopped"] == 0, shown(steps)
    assert codes["What a rollback would do"] == 0, shown(steps)
    assert project.apps["production"].value("select to_regclass('ledger.settings')") is None


def test_production_is_promoted(project: Project) -> None:
    steps = project.run("promote-production")

    green(steps, "plan", "promote")
    (receipt,) = project.runner.artifacts["receipt"].values()
    assert json.loads(receipt)["receipt"]["environment"] == "production"
    (kept,) = (project.store / "production").iterdir()
    assert json.loads((kept / "manifest.json").read_text())["verified"] is True
    assert f"{kept.name}, proven" in shown(steps)  # what was kept is what the promotion rests on
    assert migrated(project.apps["production"]) not in (0, None)


def test_production_is_refreshed_on_schedule(project: Project) -> None:
    steps = project.run("refresh")

    green(steps, "refresh")
    assert "outcome: " in shown(steps)


def test_one_click_takes_it_back(project: Project) -> None:
    steps = project.run("rollback-production", to="data")

    green(steps, "plan", "rollback")
    assert migrated(project.apps["production"]) == 0


def test_what_was_taken_back_is_promoted_again(project: Project) -> None:
    green(project.run("promote-production"), "plan", "promote")
    assert migrated(project.apps["production"]) not in (0, None)
