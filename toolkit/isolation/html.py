"""The isolation proof as one HTML file, for a security review: no script, nothing loaded."""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from collections.abc import Iterable
from html import escape
from importlib import resources
from string import Template

from toolkit.connection import redact
from toolkit.isolation import letters
from toolkit.isolation.letters import Cell, Standing
from toolkit.isolation.report import Finding, IsolationReport, Kind, Part, Row, Tally

PROVEN = (
    "Each identity tries each operation on each object, on this very database, in transactions "
    "that are rolled back. What the declaration allows has to succeed; what it denies has to "
    "fail, for the reason that it must fail for. A denial counts only beside an allowed twin that "
    "succeeds: so it is the guard that denies, and not a typing error or an empty table.",
    "Every object of the proven schemas has to be named by the declaration, and every rule has to "
    "have its object: nothing passes here merely because nobody looked at it.",
)
UNPROVEN = (
    "Not proven: the platform's own schemas (auth, storage, realtime and the like), the app's "
    "servers, which hold the service role's key and reach everybody's rows, and whoever has the "
    "database owner's password; nor what the time that a request takes may tell.",
    "What the REST API makes of requests and tokens is proven where the counts above have a part "
    "api, and what Supabase's advisors say where they have a part advisors.",
    "The proof holds for the database, the version and the moment named above. A change of a "
    "policy, a grant or a function asks for another one.",
)

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-$hash'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
$body
</main>
</body>
</html>
""")
_CLASSES = {Standing.ISOLATED: "fine", Standing.PARTIAL: "partial", Standing.OPEN: "bad"}
_COUNTED = (
    *("part", "probes", "denials", "allowed", "vacuous", "not as declared", "findings"),
    *("seconds", "outcome"),
)
# Control characters, marks that turn the direction of writing, and other invisible ones: a
# name from the database must not look like another one.
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


class _Html(str):
    """Markup. Every other string is escaped before it becomes part of the page."""

    __slots__ = ()


def render_html(report: IsolationReport) -> str:
    """One self-contained HTML file.

    Args:
        report: its texts may hold anything; they are escaped, and secrets are hidden.
    """
    style = resources.files("toolkit.isolation").joinpath("report.css").read_text("utf-8")
    body = (
        _head(report),
        _counts(report),
        _findings(report),
        _who(report),
        _matrix(report),
        _facts(report),
        _limits(),
    )
    # The page allows this one style sheet and nothing else, should an escape ever be forgotten.
    digest = hashlib.sha256(style.encode()).digest()
    return _PAGE.substitute(
        hash=base64.b64encode(digest).decode("ascii"),
        title=_text(f"Isolation proof of {report.database}: {letters.standing(report)}"),
        style=style,
        body="\n".join(body),
    )


def _text(value: str) -> _Html:
    shown = (
        f"\\u{ord(character):04x}"
        if character != "\n" and unicodedata.category(character) in _INVISIBLE
        else character
        for character in redact(value)
    )
    return _Html(escape("".join(shown)))


def _tag(name: str, *content: str, **attributes: str) -> _Html:
    """An element; `class_` is the attribute class, `aria_label` is aria-label."""
    inner = "".join(part if isinstance(part, _Html) else _text(part) for part in content)
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_text(value)}"'
        for key, value in attributes.items()
        if value
    )
    return _Html(f"<{name}{told}>{inner}</{name}>")


def _many(parts: Iterable[_Html]) -> _Html:
    return _Html("\n".join(parts))


def _section(title: str, *content: str) -> _Html:
    name = title.lower().replace(" ", "-")
    return _tag(
        "section", _tag("h2", title, id=name), *content, aria_labelledby=name, class_=f"part-{name}"
    )


def _table(caption: str, headings: Iterable[str], *bodies: str, class_: str = "") -> _Html:
    """A table that scrolls by itself where the window is too narrow."""
    head = _tag("tr", *(_tag("th", heading, scope="col") for heading in headings))
    table = _tag("table", _tag("caption", caption), _tag("thead", head), *bodies, class_=class_)
    return _tag("div", table, class_="scroll", role="region", aria_label=caption, tabindex="0")


def _row(first: str, *cells: str, class_: str = "") -> _Html:
    return _tag(
        "tr", _tag("th", first, scope="row"), *(_tag("td", c) for c in cells), class_=class_
    )


def _facts_of(pairs: Iterable[tuple[str, str]], class_: str) -> _Html:
    items = _many(
        _tag("div", _tag("dt", name), _tag("dd", value)) for name, value in pairs if value
    )
    return _tag("dl", items, class_=class_)


def _head(report: IsolationReport) -> _Html:
    tally = report.tally
    judged = letters.standing(report)
    where = (
        ("Database", report.database),
        ("Server", f"PostgreSQL {report.server_version}"),
        ("Proven at", report.proven_at),
    )
    counts = (
        (f"{tally.probes:,}", "probes"),
        (f"{tally.denials:,}", "denials, each beside an allowed case"),
        (f"{tally.allowed:,}", "allowed cases"),
        (f"{tally.vacuous:,}", "vacuous denials"),
        (f"{tally.failed:,}", "not as declared"),
        (f"{len(report.findings):,}", "findings"),
    )
    boxes = (_tag("li", _tag("strong", count), " ", what) for count, what in counts)
    stamp = _tag("strong", str(judged), class_="stamp")
    return _tag(
        "header",
        _tag("h1", "Isolation proof"),
        _facts_of(where, "where"),
        _tag("p", stamp, " ", letters.verdict(report), class_=f"verdict {_CLASSES[judged]}"),
        _skipped(report),
        _tag("ul", _many(boxes), class_="counts"),
    )


def _skipped(report: IsolationReport) -> _Html:
    """Loud, above everything that was proven."""
    skipped = [part for part in report.parts if part.skipped]
    if not skipped:
        return _Html()
    items = (_tag("li", _tag("strong", part.section), f": {part.skipped}") for part in skipped)
    title = _tag("p", _tag("strong", "SKIPPED"), ", and so not proven:")
    return _tag("div", title, _tag("ul", *items), class_="verdict partial")


def _counts(report: IsolationReport) -> _Html:
    rows = _many(_count_row(part) for part in report.parts)
    seconds = sum(part.seconds for part in report.parts)
    total = _row("all parts", *_numbers(report.tally, len(report.findings), seconds), "")
    bodies = (_tag("tbody", rows), _tag("tfoot", total))
    kinds = report.by_kind()
    meanings = _many(
        _row(kind, f"{kinds.get(kind, 0):,}", meaning, class_="" if kind in kinds else "quiet")
        for kind, meaning in letters.MEANINGS.items()
    )
    return _section(
        "Counts",
        _table("By part", _COUNTED, *bodies, class_="numbers"),
        _table("Findings by kind", ("kind", "findings", "what that is"), _tag("tbody", meanings)),
    )


def _count_row(part: Part) -> _Html:
    outcome = f"{len(part.findings):,} found" if part.findings else "nothing found"
    if part.skipped:
        outcome = f"SKIPPED: {part.skipped}" + (f"; {outcome}" if part.findings else "")
    numbers = _numbers(part.tally, len(part.findings), part.seconds)
    state = "partial" if part.skipped else "bad" if part.findings else ""
    return _row(part.section.value, *numbers, outcome, class_=state)


def _numbers(tally: Tally, findings: int, seconds: float) -> tuple[str, ...]:
    counts = (tally.probes, tally.denials, tally.allowed, tally.vacuous, tally.failed, findings)
    return (*(f"{count:,}" for count in counts), f"{seconds:,.2f}")


def _who(report: IsolationReport) -> _Html:
    rows = _many(
        _row(name, letters.role(report, name) or "not told", who)
        for name, who in letters.identities(report).items()
    )
    headings = ("identity", "database role", "who that is")
    return _section("Who asks", _table("Identities", headings, _tag("tbody", rows)))


def _matrix(report: IsolationReport) -> _Html:
    names = tuple(letters.identities(report))
    bodies = (
        _tag(
            "tbody",
            _tag("tr", _tag("th", kind, scope="rowgroup", colspan=str(len(names) + 1))),
            *(_matrix_row(row, names) for row in rows),
        )
        for kind, rows in letters.grouped(report.matrix).items()
    )
    return _section(
        "Who may do what",
        _facts_of(letters.LEGEND, "legend"),
        _table("Objects and identities", ("object", *names), *bodies, class_="matrix"),
    )


def _matrix_row(row: Row, names: tuple[str, ...]) -> _Html:
    cells = (_cell(letters.cell(row, name), f"{name}, {row.subject}") for name in names)
    return _tag("tr", _tag("th", row.subject, scope="row"), *cells)


def _cell(cell: Cell, where: str) -> _Html:
    state = "open-all" if cell.wide else "closed" if cell.closed else "own"
    shown = [_tag("b" if letter.broken else "span", letter.text) for letter in cell.letters]
    content = [cell.text] if cell.closed else [*shown]
    if cell.broken:
        state = "bad"
        content.append(_tag("small", "broken"))
    return _tag("td", *content, class_=state, title=f"{where}: {cell.words}")


def _findings(report: IsolationReport) -> _Html:
    if not report.findings:
        return _section("Findings", _tag("p", "None."))
    return _section("Findings", *(_finding(finding) for finding in report.findings))


def _finding(finding: Finding) -> _Html:
    told = (
        ("Part", finding.section.value),
        ("As", finding.identity),
        ("Operation", finding.operation),
    )
    content = [
        _tag("h3", _kind(finding.kind), " ", _tag("code", finding.subject)),
        _tag("p", finding.text),
        _facts_of(told, "told"),
    ]
    if finding.next_step:
        content.append(_tag("p", _tag("strong", "What to do:"), " ", finding.next_step))
    if finding.reproduce:
        content.append(_tag("p", _tag("strong", "To reproduce, by hand:")))
        content.append(_tag("pre", _tag("code", finding.reproduce)))
    return _tag("article", *content)


def _kind(kind: Kind) -> _Html:
    return _tag("span", kind.value.upper(), class_="kind", title=letters.MEANINGS[kind])


def _facts(report: IsolationReport) -> _Html:
    parts = (
        _tag(
            "div", _tag("h3", part.section.value), _tag("ul", *(_tag("li", f) for f in part.facts))
        )
        for part in report.parts
        if part.facts
    )
    told = _many(parts)
    return _section("Facts and waivers", told or _tag("p", "None."))


def _limits() -> _Html:
    paragraphs = (_tag("p", paragraph) for paragraph in (*PROVEN, *UNPROVEN))
    return _section("What is proven and what is not", *paragraphs)
