"""Runs the jobs of a workflow on this machine as a runner would, without a terminal.

Each job gets a checkout of its own; artifacts are all that goes from one job to the next. Actions
of others are stood in for by what they do here: a checkout is there, Python and Node.js too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.fake_github import REPOSITORY, TOKEN
from tests.support.processes import CHECKOUT
from tests.support.workflows import Workflow, composite
from tools.check_committed import repository_files

_EXPRESSION = re.compile(r"\$\{\{ *(.*?) *\}\}")
_THERE_ALREADY = ("actions/checkout", "actions/setup-python", "actions/setup-node")
_FINGERPRINT = "cat requirements/dev.txt pyproject.toml tools/setup_venv.sh | cksum"
_SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")
_BEFORE = ("PATH", "LANG", "LC_ALL", "TZ")


@dataclass(frozen=True)
class Step:
    """How one step ended; a step that was passed over has no code."""

    job: str
    name: str
    code: int | None
    said: str = field(repr=False, default="")


@dataclass
class Runner:
    """A machine that runs jobs.

    Attributes:
        folder: what it may fill; the account of PostgreSQL's server may pass through.
        api: GitHub's, of the run's variables.
        commit: that the run is about.
        secrets: environment → name → value.
        variables: likewise.
        artifacts: of the last run, by name.
    """

    folder: Path
    api: str
    commit: str
    secrets: Mapping[str, Mapping[str, str]] = field(repr=False)
    variables: Mapping[str, Mapping[str, str]]
    artifacts: dict[str, dict[str, bytes]] = field(default_factory=dict)
    _jobs: int = 0

    def run(self, workflow: Workflow, **inputs: str) -> list[Step]:
        """Run all jobs, each after those that it needs; none after one that failed."""
        self.artifacts = {}
        steps: list[Step] = []
        green: set[str] = set()
        for name, job in workflow.jobs.items():  # the files name them in the order of their needs
            needs = job.get("needs", [])
            if ({needs} if isinstance(needs, str) else set(needs)) - green:
                continue
            done = list(_Job(self, workflow, name, inputs, self._workspace()).run())
            steps += done
            if not any(step.code for step in done):
                green.add(name)
        return steps

    def _workspace(self) -> Path:
        """A checkout with what is committed or would be; .venv and node_modules are lent."""
        self._jobs += 1
        place = self.folder / f"job-{self._jobs}"
        for file in repository_files():
            target = place / file.relative_to(CHECKOUT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
        (place / "node_modules").symlink_to(CHECKOUT / "node_modules")
        (place / ".venv").mkdir()
        for entry in (CHECKOUT / ".venv").iterdir():
            if entry.name != ".ready":
                (place / ".venv" / entry.name).symlink_to(entry)
        ready = (CHECKOUT / ".venv" / ".ready").read_text().splitlines()
        # Else the step that sets up would install this copy into the .venv that is lent.
        wanted = subprocess.run(
            ["sh", "-c", _FINGERPRINT], cwd=place, stdout=subprocess.PIPE, text=True, check=True
        ).stdout.strip()
        assert ready[0] == wanted, "the checkout's .venv is not up to date: make venv"
        (place / ".venv" / ".ready").write_text(f"{ready[0]}\n{place.resolve()}\n")
        return place


@dataclass
class _Job:
    runner: Runner
    workflow: Workflow
    name: str
    inputs: Mapping[str, str]
    place: Path
    failed: bool = False

    @property
    def job(self) -> dict[str, Any]:
        return self.workflow.jobs[self.name]

    def run(self) -> Iterator[Step]:
        for step in self._steps(self.job["steps"]):
            title = str(step.get("name") or step.get("uses"))
            if not self._wanted(str(step.get("if", ""))):
                yield Step(self.name, title, None)
                continue
            code, said = self._script(step) if "run" in step else self._action(step)
            self.failed = self.failed or code != 0
            yield Step(self.name, title, code, said)

    def _steps(self, steps: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for step in steps:
            if str(step.get("uses", "")).startswith("./"):
                yield from composite(step["uses"])["runs"]["steps"]
            else:
                yield step

    def _wanted(self, condition: str) -> bool:
        """Those conditions that the files use; an unknown one is a KeyError."""
        role = self._context("vars").get("BACKUP_ROLE", "")
        return {
            "": not self.failed,
            "${{ !cancelled() }}": True,
            "${{ failure() || cancelled() }}": self.failed,
            "${{ vars.BACKUP_ROLE != '' }}": not self.failed and role != "",
        }[condition]

    def _script(self, step: Mapping[str, Any]) -> tuple[int, str]:
        given = {**self.workflow.content.get("env", {}), **step.get("env", {})}
        folder = self.runner.folder
        done = subprocess.run(
            [*_SHELL, step["run"]],
            cwd=self.place,
            env={
                **{name: os.environ[name] for name in _BEFORE if name in os.environ},
                "HOME": str(folder / "home"),
                "TMPDIR": str(folder / "tmp"),
                "CI": "true",
                "GITHUB_ACTIONS": "true",
                "GITHUB_API_URL": self.runner.api,
                "GITHUB_REPOSITORY": REPOSITORY,
                "GITHUB_SHA": self.runner.commit,
                "GITHUB_STEP_SUMMARY": str(self.place.with_suffix(".summary.md")),
                **{name: self._value(str(value)) for name, value in given.items()},
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
            start_new_session=True,  # no terminal, not even one to open
        )
        return done.returncode, done.stdout

    def _value(self, text: str) -> str:
        return _EXPRESSION.sub(lambda found: self._look_up(found[1]), text)

    def _look_up(self, expression: str) -> str:
        context, _, name = expression.partition(".")
        if (context, name) == ("github", "token"):
            return TOKEN
        return self._context(context)[name]

    def _context(self, name: str) -> Mapping[str, str]:
        """A job without an environment has neither secrets nor variables here."""
        place = self.job.get("environment", "")
        return {
            "inputs": self.inputs,
            "secrets": self.runner.secrets.get(place, {}),
            "vars": self.runner.variables.get(place, {}),
        }[name]

    def _action(self, step: Mapping[str, Any]) -> tuple[int, str]:
        action = str(step["uses"]).partition("@")[0]
        with_ = step.get("with", {})
        if action in _THERE_ALREADY:
            return 0, ""
        if action == "actions/upload-artifact":
            files = {path.name: path.read_bytes() for path in self.place.glob(with_["path"])}
            if files:
                self.runner.artifacts[with_["name"]] = files
            missing = not files and with_["if-no-files-found"] == "error"
            return int(missing), "no files were found" if missing else ""
        assert action == "actions/download-artifact", action
        target = self.place / with_.get("path", ".")
        target.mkdir(parents=True, exist_ok=True)
        for name, content in self.runner.artifacts[with_["name"]].items():
            (target / name).write_bytes(content)
        return 0, ""
