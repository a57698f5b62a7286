"""The workflows of .github: pinned, of little permission, without a secret for strangers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import CHECKOUT
from tests.support.workflows import (
    Workflow,
    composite,
    findings,
    step_problems,
    unpinned,
    workflows,
)
from toolkit.rollout.phases import phases

ALL = workflows()
SET_UP = ".github/actions/set-up"
TAGGED = "actions/checkout@v5.0.0 # SHA not looked up: tag pinned"
CONTENTS = "      contents: read # checkout\n"


def test_there_are_the_workflows_that_the_page_names() -> None:
    page = (CHECKOUT / "docs" / "ci.md").read_text()

    assert ALL.keys() == {
        *("test", "deploy-staging", "promote-production", "rollback-production", "refresh")
    }
    assert all(f"`{name}`" in page for name in ALL)


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_workflow_is_as_it_must_be(name: str) -> None:
    assert findings(ALL[name]) == []


def test_the_action_of_this_repository_is_pinned_too() -> None:
    steps = composite(SET_UP)["runs"]["steps"]

    assert unpinned((CHECKOUT / SET_UP / "action.yml").read_text()) == []
    assert [problem for step in steps for problem in step_problems(step)] == []


FAULTS = {
    "a branch": ("deploy-staging", TAGGED, "actions/checkout@main", "not pinned"),
    "a major version": ("deploy-staging", TAGGED, "actions/checkout@v5", "not pinned"),
    "a tag without the mark": (
        *("deploy-staging", TAGGED, "actions/checkout@v5.0.0"),
        "not pinned",
    ),
    "a SHA without its version": (
        *("deploy-staging", TAGGED, f"actions/checkout@{'a' * 40}"),
        "not pinned",
    ),
    "everything may be written": (
        *("test", "permissions: {}", "permissions: write-all"),
        "permissions of the workflow",
    ),
    "contents may be written": (
        *("test", CONTENTS, "      contents: write\n"),
        "lint: may write contents",
    ),
    "a token for everything": (
        *("promote-production", CONTENTS, f"{CONTENTS}      packages: write\n"),
        "plan: may write packages",
    ),
    "no permissions of a job": (
        *("test", f"    permissions:\n{CONTENTS}", ""),
        "lint: permissions are not named",
    ),
    "no timeout": ("test", "    timeout-minutes: 15\n", "", "lint: no timeout"),
    "a secret in a pull request's run": (
        "test",
        "run: make check\n",
        "run: make check\n        env:\n          KEY: ${{ secrets.KEY }}\n",
        "a secret reaches a pull request",
    ),
    "an environment in a pull request's run": (
        *("test", "    name: Lint\n", "    name: Lint\n    environment: staging\n"),
        "a pull request reaches an environment",
    ),
    "a stranger's code beside secrets": (
        *("deploy-staging", "  workflow_dispatch:", "  pull_request_target:"),
        "for strangers",
    ),
    "a fork deploys": (
        *("deploy-staging", "    if: ${{ !github.event.repository.fork }}", "    if: ${{ true }}"),
        "plan: runs in a fork",
    ),
    "a secret for every step": (
        *("deploy-staging", '  COLUMNS: "140"', "  DATABASE_URL: ${{ secrets.DATABASE_URL }}"),
        "elsewhere than in the env of a step",
    ),
    "a secret for another program": (
        "promote-production",
        "GITHUB_TOKEN: ${{ github.token }}",
        "GITHUB_TOKEN: ${{ secrets.TOKEN }}",
        "a secret for something else",
    ),
    "two promotions at once": (
        *("promote-production", "group: production #", "group: elsewhere #"),
        "two could change production at once",
    ),
    "a promotion that is cut off": (
        "rollback-production",
        "      cancel-in-progress: false\n    permissions",
        "      cancel-in-progress: true\n    permissions",
        "two could change production at once",
    ),
    "an unknown make target": ("test", "run: make check", "run: make chekc", "no make target"),
    "an unknown command": (
        *("deploy-staging", "meterledger backfill staging", "meterledger refill staging"),
        "no meterledger command",
    ),
    "an unknown option": (
        *("deploy-staging", "backfill staging --yes", "backfill staging --yess"),
        "no option --yess",
    ),
    "an unknown option of the default command": (
        *("promote-production", "backup production", "backup production --no-proof"),
        "no option --no-proof",
    ),
    "another program": ("test", "run: make check", "run: pip install x", "neither a make target"),
    "a second command": (
        *("test", "run: make check", "run: make check && curl x"),
        "more than one command",
    ),
    "an expression in a script": (
        *("rollback-production", '--to "$TO" --confirm', "--to ${{ inputs.to }} --confirm"),
        "run as code",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    name, right, wrong, told = FAULTS[fault]
    text = ALL[name].text
    assert right in text

    found = findings(Workflow(name, text.replace(right, wrong, 1)))

    assert any(told in line for line in found), found


def test_a_sha_with_its_version_is_pinned() -> None:
    assert unpinned(f"uses: actions/checkout@{'a' * 40} # v5.0.0\n") == []


def test_a_rollback_goes_to_places_that_there_are() -> None:
    options = ALL["rollback-production"].content["on"]["workflow_dispatch"]["inputs"]["to"]

    assert set(options["options"]) - {phase.name for phase in phases()} == {"data", "nothing"}
    assert options["default"] == "data"


@pytest.mark.parametrize(
    ("wrong", "program", "told"),
    [
        ("on: push\njobs: {a: {runs-on: x, stepz: []}}\n", "check-jsonschema", "stepz"),
        ("on: push\npermissions: write-all\njobs: {}\n", "zizmor", "excessive-permissions"),
        ("on: pull_request_target\npermissions: {}\njobs: {}\n", "zizmor", "dangerous-triggers"),
        (
            "on: push\npermissions: {}\njobs:\n  a:\n    runs-on: x\n    steps:\n"
            "      - run: echo ${{ github.event.issue.title }}\n",
            "zizmor",
            "template-injection",
        ),
    ],
    ids=["no schema", "write-all", "pull_request_target", "an injection"],
)
def test_make_check_finds_what_is_wrong(
    tmp_path: Path, wrong: str, program: str, told: str
) -> None:
    """The very commands of make check-workflows, at a folder with one more workflow."""
    file = tmp_path / ".github" / "workflows" / "wrong.yml"
    file.parent.mkdir(parents=True)
    (tmp_path / ".github" / "zizmor.yml").write_text(
        (CHECKOUT / ".github" / "zizmor.yml").read_text()
    )
    file.write_text(f"name: wrong\n{wrong}")
    recipe = (CHECKOUT / "Makefile").read_text().partition("check-workflows: venv\n")[2]
    line = next(
        words
        for line in recipe.splitlines()
        if Path((words := line.split())[0]).name == program and "actions/*" not in line
    )
    words = [str(file) if word == ".github/workflows/*.yml" else word for word in line[1:]]
    command = [str(Path(sys.executable).parent / program), *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode not in (0, 2), done.stdout + done.stderr
    assert told in done.stdout + done.stderr
