"""What the environment and a .env file say: the only module that reads either of them."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values

from toolkit.errors import UsageError

HOME_FOLDER = ".meterledger"
# The server in the data folder. No .env.local is read for it: other tools use that name.
LOCAL = "local"
OPEN: Literal["open"] = "open"
CONFIRM: Literal["confirm"] = "confirm"
Protection = Literal["open", "confirm"]
_PROTECTIONS: dict[str, Protection] = {OPEN: OPEN, CONFIRM: CONFIRM}
RETENTION_DAYS = 30

# libpq reads these. A server or a client that we start must not be steered by what the
# operator's shell holds for another database.
_LIBPQ_PREFIX = "PG"
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_PRODUCTION_LIKE = re.compile(r"prod|live", re.IGNORECASE)
_FILE_PREFIX = ".env."
EXAMPLE = "example"
_DAYS = re.compile(r"[0-9]{1,6}", re.ASCII)


@dataclass(frozen=True)
class Settings:
    """One reading of the environment.

    Attributes:
        home: METERLEDGER_HOME, the project's data folder; .meterledger here if left out.
        database_url: METERLEDGER_DATABASE_URL, the database of a command that names no environment;
            it may hold a password, so it is never shown.
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
    return Settings(
        home=_home(values, here),
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
        project_ref: SUPABASE_PROJECT_REF, the project's id in its hosts' names.
        time_zone: METERLEDGER_TIME_ZONE, the app's, where a day begins; an IANA name.
        protection: METERLEDGER_PROTECTION. 'confirm': what changes it wants its name typed;
            'open': a yes will do.
        backup_folder: METERLEDGER_BACKUPS; in the data folder if left out.
        retention_days: METERLEDGER_BACKUP_RETENTION_DAYS, how long a backup is kept.
        receipt_key: METERLEDGER_RECEIPT_KEY, which signs receipts.
        file: the `.env.<name>` that was read; None where there is none.
        overridden: names of variables to which the process's environment gives another value
            than the file does.
    """

    name: str
    database_url: str | None = field(default=None, repr=False)
    api_url: str | None = None
    anon_key: str | None = field(default=None, repr=False)
    service_key: str | None = field(default=None, repr=False)
    jwt_secret: str | None = field(default=None, repr=False)
    project_ref: str | None = None
    time_zone: str | None = None
    protection: Protection = OPEN
    backup_folder: Path | None = None
    retention_days: int = RETENTION_DAYS
    receipt_key: str | None = field(default=None, repr=False)
    file: Path | None = field(default=None, compare=False)
    overridden: tuple[str, ...] = field(default=(), compare=False)


# Each variable of an environment, in the order in which a person reads them.
VARIABLES = (
    *("DATABASE_URL", "SUPABASE_URL", "SUPABASE_PROJECT_REF"),
    *("SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_JWT_SECRET"),
    *("METERLEDGER_TIME_ZONE", "METERLEDGER_PROTECTION"),
    *("METERLEDGER_BACKUPS", "METERLEDGER_BACKUP_RETENTION_DAYS", "METERLEDGER_RECEIPT_KEY"),
)


def environments(folder: Path | None = None) -> tuple[str, ...]:
    """The names that have a `.env.<name>` file, sorted; no example, and nothing of `local`."""
    here = folder if folder is not None else Path.cwd()
    files = (path for path in here.glob(f"{_FILE_PREFIX}*") if path.is_file())
    names = {path.name.removeprefix(_FILE_PREFIX) for path in files} - {EXAMPLE, LOCAL}
    return tuple(sorted(name for name in names if _ENVIRONMENT_NAME.fullmatch(name)))


def environment_file(name: str, *, folder: Path | None = None) -> Path:
    """Where an environment's variables stand, whether or not the file is there.

    Raises:
        UsageError: the name is no word.
    """
    if not _ENVIRONMENT_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name of an environment",
            next_step="use letters, digits, '-' and '_', as in .env.staging",
        )
    return (folder if folder is not None else Path.cwd()) / f"{_FILE_PREFIX}{name}"


def environment(
    name: str, environ: Mapping[str, str] | None = None, *, folder: Path | None = None
) -> Environment:
    """Read one environment's variables.

    Args:
        name: of the environment; its file is `.env.<name>`.
        environ: stands in for the process's environment.
        folder: where the file is looked for; the current one if left out.

    Raises:
        UsageError: there is neither the file nor a DATABASE_URL or SUPABASE_URL, the name is no
            word, or a variable has a value that it cannot have.
    """
    file = environment_file(name, folder=folder)
    outside = os.environ if environ is None else environ
    from_file = _merged({}, file)
    values = {**from_file, **outside}
    if not file.is_file() and not any(_word(values, n) for n in ("DATABASE_URL", "SUPABASE_URL")):
        known = environments(folder)
        raise UsageError(
            f"there is no environment {name!r}: no {file.name} here, and no DATABASE_URL",
            next_step=f"there is {', '.join(known)}"
            if known
            else f"write DATABASE_URL=postgresql://… into {file.name}, or say local",
        )
    both = from_file.keys() & outside.keys()
    home = _home(_merged(outside, file.parent / ".env"), file.parent)  # as load() finds it
    return replace(
        _environment(name, values, file.parent, home),
        file=file if file.is_file() else None,
        overridden=tuple(n for n in VARIABLES if n in both and from_file[n] != outside[n]),
    )


def _environment(name: str, values: Mapping[str, str], here: Path, home: Path) -> Environment:
    backups = _word(values, "METERLEDGER_BACKUPS")
    return Environment(
        name=name,
        database_url=_word(values, "DATABASE_URL"),
        api_url=_word(values, "SUPABASE_URL"),
        anon_key=_word(values, "SUPABASE_ANON_KEY"),
        service_key=_word(values, "SUPABASE_SERVICE_ROLE_KEY"),
        jwt_secret=_word(values, "SUPABASE_JWT_SECRET"),
        project_ref=_word(values, "SUPABASE_PROJECT_REF"),
        time_zone=_word(values, "METERLEDGER_TIME_ZONE"),
        protection=protection_of(name, _word(values, "METERLEDGER_PROTECTION")),
        backup_folder=(here / backups).absolute() if backups else backups_of(name, home),
        retention_days=retention_of(_word(values, "METERLEDGER_BACKUP_RETENTION_DAYS")),
        receipt_key=_word(values, "METERLEDGER_RECEIPT_KEY"),
    )


def backups_of(name: str, home: Path) -> Path:
    """Where an environment's backups are kept, if nothing else is said."""
    return home / "backups" / name


def default_protection(name: str) -> Protection:
    """'confirm' for a name that sounds like production, 'open' for any other."""
    return CONFIRM if _PRODUCTION_LIKE.search(name) else OPEN


def protection_of(name: str, word: str | None) -> Protection:
    """What METERLEDGER_PROTECTION says of an environment; None: what its name tells.

    Raises:
        UsageError: it is no level of protection.
    """
    if word is None:
        return default_protection(name)
    if word not in _PROTECTIONS:
        raise UsageError(
            f"METERLEDGER_PROTECTION of {name} is neither open nor confirm",
            next_step="write confirm where a change wants the name typed, open where a yes will do",
        )
    return _PROTECTIONS[word]


def retention_of(word: str | None) -> int:
    """The days of METERLEDGER_BACKUP_RETENTION_DAYS.

    Raises:
        UsageError: it is no positive whole number.
    """
    if word is None:
        return RETENTION_DAYS
    if not _DAYS.fullmatch(word) or int(word) == 0:
        raise UsageError(
            "METERLEDGER_BACKUP_RETENTION_DAYS is no positive whole number of days",
            next_step=f"write for example {RETENTION_DAYS}, or leave it out",
        )
    return int(word)


def process_variables(names: Collection[str]) -> dict[str, str]:
    """Those of the variables that the process's own environment sets, without any file."""
    return {name: value for name in names if (value := _word(os.environ, name)) is not None}


def parsed(text: str) -> dict[str, str]:
    """What the text of a .env file would be read as."""
    found = dotenv_values(stream=io.StringIO(text))
    return {name: value for name, value in found.items() if value is not None}


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


def _home(values: Mapping[str, str], here: Path) -> Path:
    return (here / (_word(values, "METERLEDGER_HOME") or HOME_FOLDER)).absolute()


def _word(values: Mapping[str, str], name: str) -> str | None:
    return values.get(name, "").strip() or None
