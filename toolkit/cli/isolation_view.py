"""How an isolation proof looks on stdout: the matrix, the findings, the verdict; or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from toolkit.cli.console import out, printable, say
from toolkit.connection import redact
from toolkit.isolation import letters
from toolkit.isolation.letters import Cell, Standing
from toolkit.isolation.report import Finding, IsolationReport, Part, Row, Tally

_STYLES = {Standing.ISOLATED: "bold green", Standing.PARTIAL: "bold yellow"}
_BAD = "bold red"
_SHARED_SCHEMA = "public"
_FACTS = 4  # of each part; the page and the JSON have all of them


def print_isolation(report: IsolationReport, show: int) -> None:
    """The matrix, the findings with what to do about them, what was skipped, and the verdict.

    Args:
        report: names and texts in it come from a database; they only show, and steer nothing.
        show: findings to show of each part.
    """
    say(_line(f"isolation of {report.database}, proven at {report.proven_at}", "bold"))
    _print_matrix(report)
    _print_identities(report)
    for part in report.parts:
        _print_part(part, show)
    for gap in letters.gaps(report):
        say(_line(f"NOT WHOLE: {gap}", "bold yellow"))
    say(_line(letters.summary(report), _STYLES.get(letters.standing(report), _BAD)))


def isolation_object(report: IsolationReport) -> dict[str, Any]:
    """An isolation proof for --json."""
    tally = report.tally
    return {
        "database": redact(report.database),
        "server_version": report.server_version,
        "proven_at": report.proven_at,
        "isolated": report.isolated,
        "verdict": letters.standing(report).value,
        "gaps": [redact(gap) for gap in letters.gaps(report)],
        **_counts(tally),
        "by_kind": report.by_kind(),
        "findings": [_finding_object(finding) for finding in report.findings],
        "matrix": [_row_object(row) for row in report.matrix],
        "parts": [_part_object(part) for part in report.parts],
        "identities": [
            {"name": name, "role": letters.role(report, name), "text": text}
            for name, text in letters.identities(report).items()
        ],
        "details": report.details,
    }


def _counts(tally: Tally) -> dict[str, int]:
    return {
        "probes": tally.probes,
        "denials": tally.denials,
        "allowed": tally.allowed,
        "vacuous": tally.vacuous,
        "failed": tally.failed,
    }


def _finding_object(finding: Finding) -> dict[str, str]:
    return {
        "section": finding.section.value,
        "kind": finding.kind.value,
        "subject": finding.subject,
        "identity": finding.identity,
        "operation": finding.operation,
        "finding": redact(finding.text),
        "next_step": redact(finding.next_step),
        "reproduce": redact(finding.reproduce),
    }


def _row_object(row: Row) -> dict[str, Any]:
    return {
        "subject": row.subject,
        "kind": row.kind,
        "reach": {identity: dict(reach) for identity, reach in row.reach.items()},
        "broken": [
            {"identity": identity, "operation": operation}
            for identity, operation in sorted(row.broken)
        ],
    }


def _part_object(part: Part) -> dict[str, Any]:
    return {
        "section": part.section.value,
        "tally": _counts(part.tally),
        "findings": len(part.findings),
        "seconds": round(part.seconds, 3),
        "skipped": redact(part.skipped),
        "facts": [redact(fact) for fact in part.facts],
    }


def _line(text: str, style: str = "") -> Text:
    """One line that neither the terminal nor rich reads anything into."""
    return Text(printable(redact(text)), style=style)


def _print_matrix(report: IsolationReport) -> None:
    """Identities that look the same in every row share a column, so that it fits."""
    columns = _columns(report)
    private = [row for row in report.matrix if _private(row, columns)]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(Text("object"), overflow="fold")
    for names in columns:
        table.add_column(_line(_heading(names)), no_wrap=True)
    for kind, rows in letters.grouped(report.matrix).items():
        shown = [row for row in rows if row not in private]
        if shown:
            table.add_row(_line(kind, "bold"), *("" for _ in columns))
        for row in shown:
            cells = (_shown(letters.cell(row, names[0])) for names in columns)
            table.add_row(_line(f"  {row.subject}"), *cells)
    out.print(table)
    _print_private(private)
    for names in columns:
        if len(names) > 1:
            say(_line(f"{_heading(names)}: {', '.join(names)}: the same letters in each row"))
    for sign, meaning in letters.LEGEND:
        say(_line(f"  {sign:10}  {meaning}", "dim"))


def _columns(report: IsolationReport) -> list[list[str]]:
    """The identities, those with the same letters together."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in letters.identities(report):
        cells = tuple(letters.cell(row, name).text for row in report.matrix)
        alike.setdefault(cells, []).append(name)
    return list(alike.values())


def _heading(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} +{len(names) - 1}"


def _private(row: Row, columns: list[list[str]]) -> bool:
    """Whether nobody reaches it, as nobody should, outside the schema that clients share."""
    if row.kind == "schema" or _schema(row) == _SHARED_SCHEMA:
        return False
    return all(letters.cell(row, names[0]).closed for names in columns)


def _schema(row: Row) -> str:
    return row.subject.partition(".")[0]


def _print_private(private: list[Row]) -> None:
    for schema in dict.fromkeys(_schema(row) for row in private):
        rows = [row for row in private if _schema(row) == schema]
        kinds = letters.grouped(rows).items()
        told = ", ".join(f"{len(members):,} {kind}" for kind, members in kinds)
        noun = "object" if len(rows) == 1 else "objects"
        say(_line(f"{len(rows):,} private {noun} of {schema} ({told}): nobody"))


def _shown(cell: Cell) -> Text:
    if cell.closed:
        return Text(cell.text, style="dim")
    shown = Text()
    for letter in cell.letters:
        style = _BAD if letter.broken else "magenta" if letter.text.isupper() else "cyan"
        shown.append(printable(letter.text), style=style)
    return shown


def _print_identities(report: IsolationReport) -> None:
    for name, text in letters.identities(report).items():
        role = letters.role(report, name)
        say(_line(f"  {name}{f' ({role})' if role else ''}: {text}", "dim"))


def _print_part(part: Part, show: int) -> None:
    if not (part.findings or part.skipped or part.facts):
        return
    count = len(part.findings)
    title = f"{part.section}: {count:,} finding{'' if count == 1 else 's'}"
    if part.skipped:
        title = f"{title}, SKIPPED" if count else f"{part.section}: SKIPPED"
    say(_line(title, _BAD if count else "bold yellow" if part.skipped else "bold"))
    for fact in part.facts[:_FACTS]:
        say(_line(f"  {fact}", "dim"))
    if len(part.facts) > _FACTS:
        say(_line(f"  and {len(part.facts) - _FACTS:,} facts more: --html or --json", "dim"))
    for finding in part.findings[:show]:
        _print_finding(finding)
    if count > show:
        say(_line(f"  and {count - show:,} more", "dim"))


def _print_finding(finding: Finding) -> None:
    acted: Sequence[str] = [word for word in (finding.identity, finding.operation) if word]
    who = f" ({', '.join(acted)})" if acted else ""
    say(_line(f"  {finding.kind.upper()} {finding.subject}{who}: {finding.text}"))
    if finding.next_step:
        say(_line(f"    next: {finding.next_step}"))
    # Secrets first: one may reach over the end of a line.
    for line in redact(finding.reproduce).splitlines():
        say(_line(f"      {line}", "dim"))
