"""What is recorded beside a checksum: who pushed, with which CLI, from which commit."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import Any

import toolkit
from toolkit import settings
from toolkit.errors import OperationalError
from toolkit.operations.deploy.lock import operator
from toolkit.resources import supabase_folder
from toolkit.rollout.push import NO_WAITING_ON_THE_NETWORK, find_cli

_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Provenance:
    """The same for each file of one deploy.

    Attributes:
        who: user@host.
        cli: version of the Supabase CLI; None where it does not say.
        commit: of the checkout that the files come from; None outside of one.
    """

    who: str
    cli: str | None
    commit: str | None

    def details(self, **more: object) -> dict[str, Any]:
        """For ledger.deployments.details, without what is not known."""
        known = {"cli": self.cli, "commit": self.commit, "toolkit": toolkit.__version__, **more}
        return {name: value for name, value in known.items() if value is not None}


def provenance() -> Provenance:
    """Ask the CLI and git.

    Raises:
        OperationalError: there is no CLI.
        UsageError: METERLEDGER_SUPABASE_CLI names no program.
    """
    cli = find_cli()
    version = _first_word([str(cli), "--version"])
    folder = supabase_folder().parent
    commit = None
    if (folder / ".git").exists():  # not of a repository that the wheel happens to lie in
        commit = _first_word(["git", "-C", str(folder), "rev-parse", "HEAD"])
    return Provenance(operator(), version, commit)


def _first_word(command: list[str]) -> str | None:
    """What a program answers; None where it cannot be run or fails."""
    try:
        done = subprocess.run(
            command,
            env=settings.child_environment(NO_WAITING_ON_THE_NETWORK),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_PATIENCE_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired, OperationalError):
        return None
    words = done.stdout.split()
    return words[-1] if done.returncode == 0 and words else None
