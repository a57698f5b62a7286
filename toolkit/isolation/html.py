"""The isolation proof as one HTML file, for a security review: no script, nothing loaded."""

from __future__ import annotations

from toolkit.isolation import letters
from toolkit.isolation.letters import Cell, Standing
from toolkit.isolation.report import Finding, IsolationReport, Kind, Part, Row, Tally
from toolkit.page.markup import Html, facts_of, many, page, row, section, table, tag

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

_CLASSES = {Standing.ISOLATED: "fine", Standing.PARTIAL: "partial", Standing.OPEN: "bad"}
_COUNTED = (
    *("part", "probes", "denials", "allowed", "vacuous", "not as declared", "findings"),
    *("seconds", "outcome"),
)


def render_html(report: IsolationReport) -> str:
    """One self-contained HTML file.

    Args:
        report: its texts may hold anything; they are escaped, and secrets are hidden.
    """
    body = (
        _head(report),
        _counts(report),
        _findings(report),
        _who(report),
        _matrix(report),
        _facts(report),
        _limits(),
    )
    return page(f"Isolation proof of {report.database}: {letters.standing(report)}", body)


def _head(report: IsolationReport) -> Html:
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
    boxes = (tag("li", tag("strong", count), " ", what) for count, what in counts)
    stamp = tag("strong", str(judged), class_="stamp")
    return tag(
        "header",
        tag("h1", "Isolation proof"),
        facts_of(where, "where"),
        tag("p", stamp, " ", letters.verdict(report), class_=f"verdict {_CLASSES[judged]}"),
        _skipped(report),
        tag("ul", many(boxes), class_="counts"),
    )


def _skipped(report: IsolationReport) -> Html:
    """Loud, above everything that was proven."""
    skipped = [part for part in report.parts if part.skipped]
    if not skipped:
        return Html()
    items = (tag("li", tag("strong", part.section), f": {part.skipped}") for part in skipped)
    title = tag("p", tag("strong", "SKIPPED"), ", and so not proven:")
    return tag("div", title, tag("ul", *items), class_="verdict partial")


def _counts(report: IsolationReport) -> Html:
    rows = many(_count_row(part) for part in report.parts)
    seconds = sum(part.seconds for part in report.parts)
    total = row("all parts", *_numbers(report.tally, len(report.findings), seconds), "")
    bodies = (tag("tbody", rows), tag("tfoot", total))
    kinds = report.by_kind()
    meanings = many(
        row(kind, f"{kinds.get(kind, 0):,}", meaning, class_="" if kind in kinds else "quiet")
        for kind, meaning in letters.MEANINGS.items()
    )
    return section(
        "Counts",
        table("By part", _COUNTED, *bodies, class_="numbers"),
        table("Findings by kind", ("kind", "findings", "what that is"), tag("tbody", meanings)),
    )


def _count_row(part: Part) -> Html:
    outcome = f"{len(part.findings):,} found" if part.findings else "nothing found"
    if part.skipped:
        outcome = f"SKIPPED: {part.skipped}" + (f"; {outcome}" if part.findings else "")
    numbers = _numbers(part.tally, len(part.findings), part.seconds)
    state = "partial" if part.skipped else "bad" if part.findings else ""
    return row(part.section.value, *numbers, outcome, class_=state)


def _numbers(tally: Tally, findings: int, seconds: float) -> tuple[str, ...]:
    counts = (tally.probes, tally.denials, tally.allowed, tally.vacuous, tally.failed, findings)
    return (*(f"{count:,}" for count in counts), f"{seconds:,.2f}")


def _who(report: IsolationReport) -> Html:
    rows = many(
        row(name, letters.role(report, name) or "not told", who)
        for name, who in letters.identities(report).items()
    )
    headings = ("identity", "database role", "who that is")
    return section("Who asks", table("Identities", headings, tag("tbody", rows)))


def _matrix(report: IsolationReport) -> Html:
    names = tuple(letters.identities(report))
    bodies = (
        tag(
            "tbody",
            tag("tr", tag("th", kind, scope="rowgroup", colspan=str(len(names) + 1))),
            *(_matrix_row(row, names) for row in rows),
        )
        for kind, rows in letters.grouped(report.matrix).items()
    )
    return section(
        "Who may do what",
        facts_of(letters.LEGEND, "legend"),
        table("Objects and identities", ("object", *names), *bodies, class_="matrix"),
    )


def _matrix_row(row: Row, names: tuple[str, ...]) -> Html:
    cells = (_cell(letters.cell(row, name), f"{name}, {row.subject}") for name in names)
    return tag("tr", tag("th", row.subject, scope="row"), *cells)


def _cell(cell: Cell, where: str) -> Html:
    state = "open-all" if cell.wide else "closed" if cell.closed else "own"
    shown = [tag("b" if letter.broken else "span", letter.text) for letter in cell.letters]
    content = [cell.text] if cell.closed else [*shown]
    if cell.broken:
        state = "bad"
        content.append(tag("small", "broken"))
    return tag("td", *content, class_=state, title=f"{where}: {cell.words}")


def _findings(report: IsolationReport) -> Html:
    if not report.findings:
        return section("Findings", tag("p", "None."))
    return section("Findings", *(_finding(finding) for finding in report.findings))


def _finding(finding: Finding) -> Html:
    told = (
        ("Part", finding.section.value),
        ("As", finding.identity),
        ("Operation", finding.operation),
    )
    content = [
        tag("h3", _kind(finding.kind), " ", tag("code", finding.subject)),
        tag("p", finding.text),
        facts_of(told, "told"),
    ]
    if finding.next_step:
        content.append(tag("p", tag("strong", "What to do:"), " ", finding.next_step))
    if finding.reproduce:
        content.append(tag("p", tag("strong", "To reproduce, by hand:")))
        content.append(tag("pre", tag("code", finding.reproduce)))
    return tag("article", *content)


def _kind(kind: Kind) -> Html:
    return tag("span", kind.value.upper(), class_="kind", title=letters.MEANINGS[kind])


def _facts(report: IsolationReport) -> Html:
    parts = (
        tag("div", tag("h3", part.section.value), tag("ul", *(tag("li", f) for f in part.facts)))
        for part in report.parts
        if part.facts
    )
    told = many(parts)
    return section("Facts and waivers", told or tag("p", "None."))


def _limits() -> Html:
    paragraphs = (tag("p", paragraph) for paragraph in (*PROVEN, *UNPROVEN))
    return section("What is proven and what is not", *paragraphs)
