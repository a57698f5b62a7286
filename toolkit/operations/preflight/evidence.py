"""Items about what was done beforehand: a backup, a proven run on staging."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from toolkit.connection import parse
from toolkit.errors import MeterledgerError
from toolkit.operations.preflight.context import Context, skipped
from toolkit.operations.preflight.options import Options
from toolkit.operations.preflight.report import CheckItem, Finding, Verdict, judged
from toolkit.operations.preflight.scripts import checksums

FRESH = timedelta(hours=24)
CLOCK_SKEW = timedelta(minutes=5)


def backup(context: Context) -> CheckItem:
    """The newest verified backup of this environment, no older than a day."""
    return backup_item(context.options, parse(context.url).get("dbname"))


def backup_item(options: Options, database: str | None = None) -> CheckItem:
    """What the folder of backups holds.

    Args:
        options: environment, folder, clock.
        database: its name; a manifest of another one does not count.
    """
    name, title = "backup", "a fresh, verified backup"
    make = f"meterledger backup {options.environment}"
    known = _manifests(options.backup_folder)
    own = [
        m for m in known
        if m.get("environment") == options.environment and _same_database(m, database)
    ]  # fmt: skip
    dated = [(made, m) for m in own if (made := _instant(m.get("made_at"))) is not None]
    good = [made for made, m in dated if m.get("verified") is True]
    figures = {"backups": len(own), "verified": len(good), "newest": max(good, default=None)}
    if not good:
        what = "none was verified" if own else "there is none"
        finding = Finding(
            Verdict.FAIL if options.protected else Verdict.WARN,
            name, f"no backup of {options.environment} can be relied on: {what}", make,
        )  # fmt: skip
        return judged(name, title, [finding], quiet="", figures=figures)
    age = options.now - max(good)
    findings = []
    if age > FRESH:
        findings.append(
            Finding(Verdict.WARN, name, f"the newest verified backup is {_hours(age)} old", make)
        )
    elif age < -CLOCK_SKEW:
        findings.append(
            Finding(
                Verdict.WARN, name, "the newest backup is from the future",
                f"set this machine's clock, or: {make}",
            )
        )  # fmt: skip
    return judged(name, title, findings, quiet=f"verified, {_hours(age)} old", figures=figures)


def receipt(context: Context) -> CheckItem:
    """A run elsewhere that proved the same files."""
    return receipt_item(context.options, checksums())


def receipt_item(options: Options, phases: Mapping[str, str]) -> CheckItem:
    """What the receipt says.

    Args:
        options: the receipt's file, how to verify it, the clock.
        phases: version → checksum of the files at hand.
    """
    name, title = "receipt", "the same files proven on staging"
    make = "roll out and prove on staging first: meterledger rollout staging"
    if options.receipt is None:
        if not options.protected:
            return skipped(name, title, "no receipt was given, and none is demanded here")
        finding = Finding(
            Verdict.FAIL, name, "no receipt of a staging run was given", f"{make}; then --receipt"
        )
        return judged(name, title, [finding], quiet="")
    body = _read(options.receipt)
    if body is None:
        finding = Finding(
            Verdict.FAIL, name, f"{options.receipt} is no receipt", "name the receipt's file"
        )
        return judged(name, title, [finding], quiet="")
    problems = [
        *_genuine(options), *_other_files(body, phases, make), *_red(body, make),
        *_stale(options, body, make),
    ]  # fmt: skip
    return judged(
        name,
        title,
        problems,
        quiet=f"by {body.get('environment')}, {body.get('made_at')}",
        figures={"environment": body.get("environment"), "made_at": body.get("made_at")},
    )


def _manifests(folder: Path | None) -> list[Mapping[str, Any]]:
    """Those that can be read; a folder that was being written when its command died has none."""
    found = []
    try:
        files = sorted(folder.glob("*/manifest.json")) if folder is not None else []
    except OSError:
        return []
    for file in files:
        content = _json(file)
        if content is not None:
            found.append(content)
    return found


def _same_database(manifest: Mapping[str, Any], database: str | None) -> bool:
    """A manifest says user@host:port/name or the name alone; what says nothing is let through."""
    said = manifest.get("database")
    if not isinstance(said, str) or database is None:
        return True
    return said.rpartition("/")[2] == database


def _read(file: Path) -> Mapping[str, Any] | None:
    content = _json(file)
    body = content.get("receipt", content) if content is not None else None
    return body if isinstance(body, dict) and isinstance(body.get("phases"), dict) else None


def _json(file: Path) -> Mapping[str, Any] | None:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _genuine(options: Options) -> list[Finding]:
    if options.verify_receipt is None or options.receipt is None:
        step = "set METERLEDGER_RECEIPT_KEY to the key that staging signs with"
        return [Finding(Verdict.WARN, "signature", "its signature could not be checked", step)]
    try:
        options.verify_receipt(options.receipt)
    except MeterledgerError as error:
        return [Finding(Verdict.FAIL, "signature", error.message, error.next_step)]
    return []


def _other_files(body: Mapping[str, Any], phases: Mapping[str, str], make: str) -> list[Finding]:
    proven = body["phases"]
    other = sorted({v for v in {*phases, *proven} if phases.get(v) != proven.get(v)})
    if not other:
        return []
    text = f"staging was proven with other files: {', '.join(other)}"
    return [Finding(Verdict.FAIL, "checksums", text, make, len(other))]


def _red(body: Mapping[str, Any], make: str) -> list[Finding]:
    findings = []
    for part, key in (("validation", "valid"), ("isolation", "isolated")):
        result = body.get(part)
        if not isinstance(result, dict) or result.get(key) is not True:
            findings.append(Finding(Verdict.FAIL, part, f"{part} was not green there", make))
    return findings


def _stale(options: Options, body: Mapping[str, Any], make: str) -> list[Finding]:
    findings = []
    if body.get("environment") == options.environment:
        text = f"the receipt is of {options.environment} itself, not of the one before it"
        findings.append(Finding(Verdict.FAIL, "environment", text, make))
    made = _instant(body.get("made_at"))
    if made is None or options.now - made < -CLOCK_SKEW:
        findings.append(Finding(Verdict.FAIL, "age", "the receipt has no sound date", make))
    elif options.now - made > FRESH:
        age = _hours(options.now - made)
        findings.append(Finding(Verdict.WARN, "age", f"the receipt is {age} old", make))
    return findings


def _instant(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _hours(age: timedelta) -> str:
    return f"{max(age.total_seconds(), 0) / 3600:.1f} hours"
