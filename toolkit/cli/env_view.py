"""How environments are shown: tables and JSON, without a secret in either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from toolkit.cli.console import print_table, printable, say
from toolkit.connection import HIDDEN, redact
from toolkit.environments.check import EnvironmentCheck
from toolkit.environments.file import SECRETS
from toolkit.environments.items import Grade, Item
from toolkit.environments.listing import Listed
from toolkit.environments.place import described
from toolkit.settings import Environment

STYLES = {Grade.PASS: "green", Grade.WARN: "yellow", Grade.FAIL: "bold red"}


def print_list(found: Sequence[Listed]) -> None:
    """One row an environment, and below the table why one could not be asked."""
    print_table(
        "environments",
        ("name", "database", "protection", "recorded"),
        [(one.name, one.database, one.protection, _recorded(one)) for one in found],
    )
    for one in found:
        if one.trouble:
            say(Text(printable(redact(f"{one.name}: {one.trouble}")), style="yellow"))


def listed_object(one: Listed) -> dict[str, Any]:
    """An environment of the list for --json."""
    return {
        "name": one.name,
        "database": one.database or None,
        "protection": one.protection or None,
        "recorded": one.recorded,
        "trouble": redact(one.trouble) or None,
    }


def shown_values(environment: Environment) -> dict[str, str | None]:
    """Each variable as it may be shown; None where it is missing."""
    values = {
        "DATABASE_URL": environment.database_url,
        "SUPABASE_URL": environment.api_url,
        "SUPABASE_PROJECT_REF": environment.project_ref,
        "SUPABASE_ANON_KEY": environment.anon_key,
        "SUPABASE_SERVICE_ROLE_KEY": environment.service_key,
        "SUPABASE_JWT_SECRET": environment.jwt_secret,
        "METERLEDGER_TIME_ZONE": environment.time_zone,
        "METERLEDGER_PROTECTION": environment.protection,
        "METERLEDGER_BACKUPS": str(environment.backup_folder or ""),
        "METERLEDGER_BACKUP_RETENTION_DAYS": str(environment.retention_days),
        "METERLEDGER_RECEIPT_KEY": environment.receipt_key,
    }
    shown = {
        name: HIDDEN if value and name in SECRETS else redact(value) if value else None
        for name, value in values.items()
    }
    if described(environment):
        # Not the URL with its secret cut out: one that cannot be read has it anywhere.
        user, _, place = described(environment).partition("@")
        shown["DATABASE_URL"] = f"postgresql://{user}:{HIDDEN}@{place}"
    return shown


def print_values(name: str, values: Mapping[str, str | None]) -> None:
    """One line a variable, as in the file."""
    say(Text(f"environment {name}", style="bold"))
    for variable, value in values.items():
        say(Text(printable(f"{variable}={value or ''}"), style="" if value else "dim"))


def print_check(report: EnvironmentCheck) -> None:
    """One line an item, and below each that does not pass what to do."""
    print_items(f"environment {report.environment} {report.database}".rstrip(), report.items)
    say(
        "[bold green]it can be used[/]"
        if report.usable
        else "[bold red]it cannot be used as it is[/]"
    )


def print_items(title: str, items: Sequence[Item]) -> None:
    """Items as lines: grade, name, what was found; below each that does not pass, what to do."""
    say(Text(printable(title), style="bold"))
    width = max((len(item.name) for item in items), default=0)
    for item in items:
        line = Text(f"{item.grade.value}  ", style=STYLES[item.grade])
        line.append(f"{item.name:{width}}  {printable(redact(item.found))}", style="default")
        say(line)
        if item.next_step:
            say(Text(f"      next: {printable(redact(item.next_step))}"))


def check_object(report: EnvironmentCheck) -> dict[str, Any]:
    """A check for --json."""
    return {
        "environment": report.environment,
        "database": report.database or None,
        "usable": report.usable,
        "items": [
            {
                "name": item.name,
                "grade": item.grade.value,
                "found": redact(item.found),
                "next_step": redact(item.next_step),
            }
            for item in report.items
        ],
    }


def _recorded(one: Listed) -> str:
    return one.recorded or ("?" if one.trouble else "")
