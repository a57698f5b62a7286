"""A new `.env.<name>`: a template with a comment for each variable, readable by its owner only."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import OperationalError, UsageError
from toolkit.settings import RETENTION_DAYS, VARIABLES, default_protection, parsed

MODE = 0o600


@dataclass(frozen=True)
class Variable:
    """One line of the file.

    Attributes:
        name: of the variable.
        text: what it is, for the comment and for the prompt.
        example: what stands in the comment where no value is given.
        secret: whether it is never shown.
    """

    name: str
    text: str
    example: str = ""
    secret: bool = False


_TEXTS = (
    Variable(
        "DATABASE_URL",
        "The database as its owner, direct or session pooler (port 5432); special characters of "
        "the password percent-encoded",
        "postgresql://postgres:PASSWORD@db.PROJECT.supabase.co:5432/postgres?sslmode=require",
        secret=True,
    ),
    Variable(
        "SUPABASE_URL", "The project's API, for isolation --api", "https://PROJECT.supabase.co"
    ),
    Variable("SUPABASE_PROJECT_REF", "The project's id, which its hosts are checked against"),
    Variable("SUPABASE_ANON_KEY", "The public key, anon or publishable", secret=True),
    Variable("SUPABASE_SERVICE_ROLE_KEY", "The servers' key, service_role or secret", secret=True),
    Variable("SUPABASE_JWT_SECRET", "What signs the project's tokens (HS256)", secret=True),
    Variable("METERLEDGER_TIME_ZONE", "The zone that the app's users live by", "Asia/Jakarta"),
    Variable(
        "METERLEDGER_PROTECTION",
        "confirm: what changes this environment wants its name typed; open: a yes will do",
    ),
    Variable("METERLEDGER_BACKUPS", "The folder of its backups; the data folder's if left out"),
    Variable(
        "METERLEDGER_BACKUP_RETENTION_DAYS", "Days that a backup is kept", str(RETENTION_DAYS)
    ),
    Variable(
        "METERLEDGER_RECEIPT_KEY",
        "What signs receipts; the same where one environment is promoted into another",
        secret=True,
    ),
)
TEMPLATE = {variable.name: variable for variable in _TEXTS}
SECRETS = frozenset(variable.name for variable in _TEXTS if variable.secret)


def render(name: str, values: Mapping[str, str]) -> str:
    """The text of `.env.<name>`, in which each value reads back as it was given.

    Args:
        name: of the environment.
        values: by variable; one that is missing becomes a comment.

    Raises:
        UsageError: a value cannot stand in such a file.
    """
    lines = [
        f"# The environment {name} of meterledger. It holds secrets: keep it out of version",
        "# control, readable by its owner only. The process's environment wins over it.",
    ]
    for variable in VARIABLES:
        about = TEMPLATE[variable]
        value = values.get(variable)
        lines += ["", f"# {about.text}."]
        if value is None:
            lines.append(f"# {variable}={_example(name, about)}")
        else:
            lines.append(f"{variable}={_quoted(variable, value)}")
    return "\n".join(lines) + "\n"


def write(path: Path, text: str, *, force: bool = False) -> None:
    """Write the file whole or not at all, for its owner only, before anything is in it.

    Args:
        path: where.
        text: what render() made.
        force: replace a file that is there.

    Raises:
        UsageError: there is one, and force is not given.
        OperationalError: it cannot be written.
    """
    try:
        # mkstemp's files are for their owner only from the beginning.
        descriptor, unfinished = tempfile.mkstemp(prefix=f"{path.name}-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                os.fchmod(descriptor, MODE)
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            if force:
                Path(unfinished).replace(path)
            else:
                os.link(unfinished, path)  # refused where the name is taken, by anything
        finally:
            with suppress(FileNotFoundError):
                Path(unfinished).unlink()
    except FileExistsError:
        raise exists(path) from None
    except OSError as error:
        raise OperationalError(
            f"{path.name} cannot be written: {error.strerror}",
            next_step="check the folder's owner and the disk's free space",
        ) from error


def exists(path: Path) -> UsageError:
    """What is said of a file that is there already."""
    return UsageError(
        f"{path.name} is there already",
        next_step="edit it, or write it anew with --force (what is in it is lost)",
    )


def _example(name: str, variable: Variable) -> str:
    if variable.name == "METERLEDGER_PROTECTION":
        return default_protection(name)
    return variable.example


def _quoted(variable: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    quoted = f"'{escaped}'"
    if not value.isprintable() or parsed(f"{variable}={quoted}\n") != {variable: value}:
        raise UsageError(
            f"the value of {variable} cannot stand in a .env file",
            next_step="it must be one line without control characters and without ${…}, which "
            "is replaced on reading; percent-encode '$' as %24 in a URL",
        )
    return quoted
