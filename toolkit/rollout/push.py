"""Applies the phases with the real Supabase CLI: `supabase db push` on a copy of the files."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from toolkit import settings
from toolkit.connection import connect, parse, redact
from toolkit.errors import OperationalError, UsageError
from toolkit.resources import supabase_folder
from toolkit.rollout.phases import Phase, phases
from toolkit.rollout.project import project
from toolkit.rollout.push_error import PushError

_APPLYING = re.compile(r"Applying migration (?P<file>\S+?\.sql)")
_VERSION = re.compile(r"[0-9]{1,40}")
NO_WAITING_ON_THE_NETWORK = {
    "SUPABASE_TELEMETRY_DISABLED": "1",
    "SUPABASE_NO_UPDATE_NOTIFIER": "1",
    "DO_NOT_TRACK": "1",
}
LAST_LINES = 12
_PATIENCE_SECONDS = 5.0
NOT_RUN = (126, 127)  # what a shell and env answer for a program that they cannot run


@dataclass(frozen=True)
class PushReport:
    """What one push did.

    Attributes:
        applied: names of the files that it applied; empty when there was nothing to do.
        seconds: how long it took.
    """

    applied: tuple[str, ...]
    seconds: float


def find_cli(folder: Path | None = None) -> Path:
    """The Supabase CLI: METERLEDGER_SUPABASE_CLI, this folder's node_modules, or PATH.

    Raises:
        UsageError: METERLEDGER_SUPABASE_CLI names no program.
        OperationalError: there is none.
    """
    named = settings.variable("METERLEDGER_SUPABASE_CLI")
    if named is not None:
        found = shutil.which(named)
        if found is None:
            raise UsageError(
                "METERLEDGER_SUPABASE_CLI names no program",
                next_step="name the supabase executable, or unset the variable",
            )
        return Path(found)
    here = folder if folder is not None else Path.cwd()
    checkout = supabase_folder().parent
    for place in (here, checkout):
        local = place / "node_modules" / ".bin" / "supabase"
        if local.exists():
            return local.absolute()
    on_path = shutil.which("supabase")
    if on_path is not None:
        return Path(on_path)
    raise OperationalError(
        "the Supabase CLI is not installed",
        next_step="in a checkout: make demo (needs node and npm); elsewhere: npm install supabase",
    )


def push(
    database_url: str,
    *,
    time_zone: str | None = None,
    defer_backfill: bool = False,
    through: str | None = None,
    expected: Mapping[str, str] | None = None,
    on_phase: Callable[[str], None] | None = None,
) -> PushReport:
    """Apply the phases that the database has not had yet; each file is one transaction.

    Args:
        database_url: a direct or session connection, as the owner.
        time_zone: the app's zone, confirmed by the operator, for example Asia/Jakarta.
        defer_backfill: phase 4 installs its functions and leaves the data alone.
        through: the last version to apply; all of them if left out.
        expected: version → checksum that each file must have; None: none is demanded.
        on_phase: called with each file's name when it begins.

    Raises:
        UsageError: the URL cannot be parsed.
        FindingsError: a file is not the expected one; nothing was applied.
        OperationalError: no CLI or no connection; as PushError: a phase that raised. What had
            been applied before it stays applied.
    """
    cli = find_cli()
    started = time.monotonic()
    wanted = [phase for phase in phases() if through is None or phase.version <= through]
    url, password = without_password(database_url)
    environment = settings.child_environment(
        {
            **NO_WAITING_ON_THE_NETWORK,
            **({"PGPASSWORD": password} if password else {}),
            "PGOPTIONS": _options(time_zone, defer_backfill),
        }
    )
    with project(wanted, _others(database_url, wanted), expected) as folder:
        command = [str(cli), "db", "push", "--workdir", str(folder), "--remote", url]
        command += ["--include-all", "--yes", "--output-format", "json"]
        # The CLI unpacks parts of itself into the temporary folder, and leaves them there.
        process = start_cli(command, {**environment, "TMPDIR": str(folder)})
        applied, output, errors = _follow(process, on_phase)
    if process.returncode in NOT_RUN and not applied:
        raise cannot_run(errors or output)
    if process.returncode != 0:
        raise _explain(output, errors, applied)
    return PushReport(tuple(applied), time.monotonic() - started)


def start_cli(command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    """The CLI in a session of its own: npm's is a script that starts another program."""
    try:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise cannot_run(error.strerror or str(error)) from error


def without_password(database_url: str) -> tuple[str, str | None]:
    """The URL for the process list, where everybody can read it, and the secret apart."""
    parts = parse(database_url)
    password = parts.pop("password", None) or settings.variable("PGPASSWORD")
    user = quote(parts.pop("user", "postgres"), safe="")
    host = parts.pop("host", "localhost")
    if ":" in host:
        host = f"[{host}]"
    port = parts.pop("port", "5432")
    database = quote(parts.pop("dbname", "postgres"), safe="")
    rest = "&".join(f"{key}={quote(value, safe='')}" for key, value in sorted(parts.items()))
    return f"postgresql://{user}@{host}:{port}/{database}" + (f"?{rest}" if rest else ""), password


def _options(time_zone: str | None, defer_backfill: bool) -> str:
    options = []
    if time_zone is not None:
        options.append(f"-c ledger.time_zone={time_zone.replace(' ', chr(92) + ' ')}")
    if defer_backfill:
        options.append("-c ledger.defer_backfill=on")
    return " ".join(options)


def _others(database_url: str, wanted: list[Phase]) -> tuple[str, ...]:
    """Versions in the database's history that this push does not bring, mostly the app's own."""
    brought = {phase.version for phase in wanted}
    with connect(database_url, autocommit=True) as connection:
        there = connection.execute(
            "select to_regclass('supabase_migrations.schema_migrations') is not null"
        ).fetchone()
        if there != (True,):
            return ()
        rows = connection.execute(
            "select version from supabase_migrations.schema_migrations order by version"
        ).fetchall()
    # The CLI knows digits only; what else stands there it reports itself.
    return tuple(v for (v,) in rows if v not in brought and _VERSION.fullmatch(v))


def _follow(
    process: subprocess.Popen[str], on_phase: Callable[[str], None] | None
) -> tuple[list[str], str, str]:
    """Read what the CLI says while it works; its answer is one JSON object on stdout."""
    applied: list[str] = []
    lines: list[str] = []
    try:
        for line in process.stderr or ():
            lines.append(line.rstrip())
            match = _APPLYING.search(line)
            if match is not None:
                applied.append(match["file"].removesuffix(".sql"))
                if on_phase is not None:
                    on_phase(applied[-1])
        output = process.stdout.read() if process.stdout else ""
        process.wait()
    except BaseException:
        end_cli(process)
        raise
    return applied, output, "\n".join(lines)


def end_cli(process: subprocess.Popen[str]) -> None:
    """End the CLI with the programs that it started; left alone, it would migrate on."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        try:
            process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        break


def cannot_run(text: str) -> OperationalError:
    """Our words for a CLI that cannot be started at all."""
    reason = next(iter(redact(text).strip().splitlines()), "it gave no reason")
    return OperationalError(
        f"the Supabase CLI cannot be run: {reason}",
        next_step="npm's supabase needs node on PATH; or name another supabase program in "
        "METERLEDGER_SUPABASE_CLI",
    )


def _explain(output: str, errors: str, applied: list[str]) -> PushError:
    """Our words for the CLI's failure: the phase, the server's message and hint."""
    return PushError(
        reason_of(output, errors),
        file=applied[-1] if applied else None,
        details=tuple(redact(errors).splitlines()[-LAST_LINES:]),
    )


def reason_of(output: str, errors: str) -> str:
    """What the CLI says of its failure, without secrets; one line or more."""
    answer = answer_of(output) or answer_of(errors)
    error = answer.get("error", answer)
    error = error if isinstance(error, dict) else {"message": str(error)}
    text = redact(str(error.get("message") or error.get("detail") or errors or output))
    return text.strip() or "it gave no reason"


def answer_of(text: str) -> dict[str, Any]:
    """The CLI's answer, the last line of a text that is a JSON object; empty without one."""
    for line in reversed(text.strip().splitlines()):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value
    return {}
