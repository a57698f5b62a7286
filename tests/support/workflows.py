"""The workflows of .github, read, and what they are held to beyond what zizmor knows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer
import yaml

from tests.support.processes import CHECKOUT
from toolkit.cli import app

FOLDER = CHECKOUT / ".github" / "workflows"
COMMAND = ".venv/bin/meterledger"
NOT_OF_A_FORK = "${{ !github.event.repository.fork }}"
# What a job may write, and nothing else does.
WRITES = {
    ("deploy-staging", "comment"): {"pull-requests"},
    ("promote-production", "promote"): {"id-token"},
}
_USES = re.compile(r"^\s*(?:- )?uses:\s*(?P<action>\S+)(?:\s+# (?P<comment>.*))?$", re.M)
_SHA = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
_TAG = re.compile(r"[\w.-]+/[\w./-]+@v\d+\.\d+\.\d+")
_NO_SHA = "SHA not looked up: tag pinned"
_SECRET = re.compile(r"\bsecrets\b")
_REDIRECT = re.compile(r"\s>\s[\w.]+$")
_SHELL = re.compile(r"[;&|`<>()]|\$(?!\w)")


@dataclass(frozen=True)
class Workflow:
    """One file.

    Attributes:
        name: of the file, without its ending.
        text: what it says.
    """

    name: str
    text: str

    @property
    def content(self) -> dict[str, Any]:
        """As YAML, in which version 1.1 takes the key `on` for a boolean."""
        found = yaml.safe_load(self.text)
        return {"on" if key is True else key: value for key, value in found.items()}

    @property
    def events(self) -> set[str]:
        """What starts it."""
        return set(self.content["on"])

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        """By their ids."""
        return dict(self.content["jobs"])


def workflows() -> dict[str, Workflow]:
    """All of them, by name."""
    return {path.stem: Workflow(path.stem, path.read_text()) for path in FOLDER.glob("*.yml")}


def composite(uses: str) -> dict[str, Any]:
    """An action of this repository, named as a step names it."""
    found = yaml.safe_load((CHECKOUT / uses / "action.yml").read_text())
    assert isinstance(found, dict)
    return found


def findings(workflow: Workflow) -> list[str]:
    """What is wrong with a workflow, a line each."""
    return [
        *_unpinned(workflow.text),
        *_permissions(workflow),
        *_secrets(workflow),
        *_production(workflow),
        *(
            problem
            for job in workflow.jobs.values()
            for step in job["steps"]
            for problem in step_problems(step)
        ),
    ]


def unpinned(text: str) -> list[str]:
    """The actions of a file that are neither a SHA with its version nor a marked exact tag."""
    return list(_unpinned(text))


def step_problems(step: Mapping[str, Any]) -> list[str]:
    """Why a step could not be typed on any machine: each line is a make target or a command."""
    if "run" not in step:
        return []
    lines = str(step["run"]).replace("\\\n", " ").splitlines()
    return [problem for line in lines if (problem := _line_problem(line.strip()))]


def _unpinned(text: str) -> Iterator[str]:
    for found in _USES.finditer(text):
        action, comment = found["action"], found["comment"] or ""
        by_sha = _SHA.fullmatch(action) and re.match(r"v\d", comment)
        by_tag = _TAG.fullmatch(action) and comment == _NO_SHA
        if not (action.startswith("./") or by_sha or by_tag):
            yield f"not pinned: {action}"


def _permissions(workflow: Workflow) -> Iterator[str]:
    if workflow.content.get("permissions") != {}:
        yield "permissions of the workflow are not {}"
    for name, job in workflow.jobs.items():
        allowed = WRITES.get((workflow.name, name), set())
        granted = job.get("permissions")
        if not isinstance(granted, dict):
            yield f"{name}: permissions are not named one by one"
            continue
        writes = {scope for scope, right in granted.items() if right != "read"}
        if writes - allowed:
            yield f"{name}: may write {', '.join(sorted(writes - allowed))}"
        if writes - {"id-token"} and "environment" in job:
            yield f"{name}: may write to the repository and knows secrets"
        if "timeout-minutes" not in job:
            yield f"{name}: no timeout"


def _secrets(workflow: Workflow) -> Iterator[str]:
    if bad := workflow.events & {"pull_request_target", "workflow_run", "issue_comment"}:
        yield f"runs with secrets for strangers: {', '.join(sorted(bad))}"
    for name, job in workflow.jobs.items():
        entry = "needs" not in job and "environment" in job
        if entry and job.get("if") != NOT_OF_A_FORK:
            yield f"{name}: runs in a fork"
        if "pull_request" in workflow.events and "environment" in job:
            yield f"{name}: a pull request reaches an environment"
        for step in job["steps"]:
            told = _SECRET.search(str(step.get("env", {})))
            if told and not str(step.get("run", "")).startswith(f"{COMMAND} "):
                yield f"{name}: a secret for something else than meterledger"
            if told and "environment" not in job:
                yield f"{name}: a secret without an environment"
    beside = {**workflow.content, "jobs": None}
    outside = [beside, *({**job, "steps": None} for job in workflow.jobs.values())]
    steps = [{**s, "env": None} for job in workflow.jobs.values() for s in job["steps"]]
    if any(_SECRET.search(str(part)) for part in (*outside, *steps)):
        yield "a secret stands elsewhere than in the env of a step"
    if "pull_request" in workflow.events and _SECRET.search(str(workflow.content)):
        yield "a secret reaches a pull request"


def _production(workflow: Workflow) -> Iterator[str]:
    for name, job in workflow.jobs.items():
        group = {"group": "production", "cancel-in-progress": False}
        if job.get("environment") == "production" and job.get("concurrency") != group:
            yield f"{name}: two could change production at once"


def _line_problem(line: str) -> str | None:
    bare = _REDIRECT.sub("", line)
    if "${{" in bare:
        return f"an expression in a script, which would be run as code: {line}"
    if _SHELL.search(bare):
        return f"more than one command: {line}"
    words = shlex.split(bare)
    match words:
        case ["make", *rest]:
            targets = [word for word in rest if "=" not in word]
            unknown = [target for target in targets if target not in _targets()]
            return f"no make target: {line}" if unknown or not targets else None
        case [first, *rest] if first == COMMAND:
            return _command_problem(rest, line)
    return f"neither a make target nor a meterledger command: {line}"


def _command_problem(words: list[str], line: str) -> str | None:
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    if command.name == "meterledger":
        return f"no meterledger command: {line}"
    command = getattr(command, "commands", {}).get("make", command)  # `backup ENV`: the default
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    unknown = [word for word in rest if word.startswith("-") and word not in known]
    return f"no option {', '.join(unknown)}: {line}" if unknown else None


@cache
def _targets() -> frozenset[str]:
    text = Path(CHECKOUT / "Makefile").read_text()
    found = re.findall(r"^([a-z][a-z0-9 -]*):(?!=)", text, re.M)
    return frozenset(name for names in found for name in names.split())
