"""What the environment and a .env file say: the only module that reads either of them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from toolkit.errors import UsageError

HOME_FOLDER = ".meterledger"

# libpq reads these. A server or a client that we start must not be steered by what the
# operator's shell holds for another database.
_LIBPQ_PREFIX = "PG"
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Settings:
    """One reading of the environment.

    Attributes:
        home: the project's data folder (METERLEDGER_HOME, or .meterledger here).
        database_url: METERLEDGER_DATABASE_URL; holds a secret, so it is left out of repr.
        pg_bindir: METERLEDGER_PG_BINDIR, the folder of the PostgreSQL programs to use.
        in_ci: True where CI is set to anything but an empty word, 0 or false.
    """

    home: Path
    database_url: str | None = field(default=None, repr=False)
    pg_bindir: Path | None = None
    in_ci: bool = False


def load(
    environ: Mapping[str, str] | None = None,
    *,
    folder: Path | None = None,
) -> Settings:
    """Read the settings: the environment first, then the .env file of the folder.

    Args:
        environ: stands in for the process's environment.
        folder: where .env and the data folder are looked for; the current one if left out.

    Raises:
        UsageError: METERLEDGER_PG_BINDIR names no folder.
    """
    here = folder if folder is not None else Path.cwd()
    values = _merged(os.environ if environ is None else environ, here / ".env")
    bindir = _word(values, "METERLEDGER_PG_BINDIR")
    if bindir is not None and not Path(bindir).is_dir():
        raise UsageError(
            f"METERLEDGER_PG_BINDIR is {bindir}, which is no folder",
            next_step="name the folder that holds initdb and pg_ctl, or unset the variable",
        )
    home = _word(values, "METERLEDGER_HOME")
    return Settings(
        home=(here / home if home else here / HOME_FOLDER).absolute(),
        database_url=_word(values, "METERLEDGER_DATABASE_URL"),
        pg_bindir=Path(bindir).absolute() if bindir else None,
        in_ci=(_word(values, "CI") or "0").lower() not in {"0", "false", "no"},
    )


@dataclass(frozen=True)
class Environment:
    """One deployed project: what `.env.<name>` says of it, with the process's environment on top.

    Attributes:
        name: as the operator calls it.
        database_url: DATABASE_URL, direct or session pooler.
        api_url: SUPABASE_URL.
        anon_key: SUPABASE_ANON_KEY, which every client of the app has.
        service_key: SUPABASE_SERVICE_ROLE_KEY, which reaches everything.
        jwt_secret: SUPABASE_JWT_SECRET, which signs tokens.
    """

    name: str
    database_url: str | None = field(default=None, repr=False)
    api_url: str | None = None
    anon_key: str | None = field(default=None, repr=False)
    service_key: str | None = field(default=None, repr=False)
    jwt_secret: str | None = field(default=None, repr=False)


def environment(
    name: str, environ: Mapping[str, str] | None = None, *, folder: Path | None = None
) -> Environment:
    """Read one environment's variables.

    Args:
        name: of the environment; its file is `.env.<name>`.
        environ: stands in for the process's environment.
        folder: where the file is looked for; the current one if left out.

    Raises:
        UsageError: there is neither the file nor a DATABASE_URL, or the name is no word.
    """
    if not _ENVIRONMENT_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name of an environment",
            next_step="use letters, digits, '-' and '_', as in .env.staging",
        )
    here = folder if folder is not None else Path.cwd()
    file = here / f".env.{name}"
    values = _merged(os.environ if environ is None else environ, file)
    if not file.is_file() and _word(values, "DATABASE_URL") is None:
        known = sorted(p.name.removeprefix(".env.") for p in here.glob(".env.*") if p.is_file())
        raise UsageError(
            f"there is no environment {name!r}: no {file.name} here, and no DATABASE_URL",
            next_step=f"there is {', '.join(known)}"
            if known
            else f"write DATABASE_URL=postgresql://… into {file.name}, or say local",
        )
    return Environment(
        name=name,
        database_url=_word(values, "DATABASE_URL"),
        api_url=_word(values, "SUPABASE_URL"),
        anon_key=_word(values, "SUPABASE_ANON_KEY"),
        service_key=_word(values, "SUPABASE_SERVICE_ROLE_KEY"),
        jwt_secret=_word(values, "SUPABASE_JWT_SECRET"),
    )


def variable(name: str, *, folder: Path | None = None) -> str | None:
    """One variable of the environment or of .env; None where it is missing or empty."""
    here = folder if folder is not None else Path.cwd()
    return _word(_merged(os.environ, here / ".env"), name)


def child_environment(
    extra: Mapping[str, str] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The environment for a program that we start.

    Everything of ours but libpq's PG… variables, which would point the program at
    another database; then `extra`.
    """
    source = os.environ if environ is None else environ
    kept = {key: value for key, value in source.items() if not key.startswith(_LIBPQ_PREFIX)}
    return {**kept, **(extra or {})}


def _merged(environ: Mapping[str, str], file: Path) -> dict[str, str]:
    """The .env file under the environment; an unreadable file is one clear error."""
    try:
        from_file = dotenv_values(file) if file.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{file.name} cannot be read: {type(error).__name__}",
            next_step="make it readable UTF-8 text with NAME=value lines, or remove it",
        ) from error
    merged = {key: value for key, value in from_file.items() if value is not None}
    merged.update(environ)
    return merged


def _word(values: Mapping[str, str], name: str) -> str | None:
    return values.get(name, "").strip() or None
