"""What a person sees of an isolation proof: as a page, in the terminal, and as JSON."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from toolkit.cli.console import print_json
from toolkit.cli.isolation_view import isolation_object, print_isolation
from toolkit.isolation import letters
from toolkit.isolation.html import PROVEN, UNPROVEN, render_html
from toolkit.isolation.letters import Standing
from toolkit.isolation.report import Finding, IsolationReport, Kind, Part, Row, Section, Tally

IDENTITIES = {
    "anon": "nobody signed in",
    "user": "a signed-in user",
    "admin": "a user whose profile says admin",
    "service_role": "the app's own servers",
}
HOSTILE = 'public."><script>alert(1)</script><img src=http://evil/>&amp;'
STEERING = "\x1b[31mred\x1b]0;title\x07\u202eesrever\r\nline [bold red]x[/] [/]"
WAIVER = "waived: security_definer_view of public.v: the app's own, without anybody's rows"
MAY = {"select": "own", "insert": "once", "update": "none", "delete": "no"}
EVENTS = Row(
    "public.token_events",
    "table",
    {
        "anon": {"select": "none", "insert": "none", "update": "none", "delete": "none"},
        "user": MAY,
        "admin": MAY,
        "service_role": dict.fromkeys(MAY, "all"),
    },
)
PRIVATE = tuple(Row(f"ledger.private_{number}", "table", {}) for number in range(3))
REFRESH = Row("public.refresh()", "function", {"service_role": {"execute": "all"}})
LEDGER = Row("ledger", "schema", {name: {"usage": "all"} for name in ("user", "admin")})
LEAK = Finding(
    Section.PROBES,
    Kind.LEAK,
    "public.token_events",
    "an admin read rows of other users",
    identity="admin",
    operation="select",
    reproduce="begin;\nset local role authenticated;\nselect 1 where 1 < 2;\nrollback;",
    next_step="drop the policy or declare it",
)
WHOLE = IsolationReport(
    database="postgres@localhost:54322/app",
    server_version="17.10",
    proven_at="2026-11-24T12:00:00Z",
    identities=IDENTITIES,
    matrix=(EVENTS, *PRIVATE, REFRESH, LEDGER),
    parts=tuple(
        Part(
            section,
            {
                Section.PROBES: Tally(allowed=400, denials=790),
                Section.ATTACKS: Tally(allowed=34, denials=10),
            }.get(section, Tally()),
            facts=(WAIVER,) if section is Section.ADVISORS else (),
            seconds=1.25,
        )
        for section in Section
    ),
    details={"roles": {"user": "authenticated", "admin": "authenticated"}},
)


def _with(report: IsolationReport, changed: Part) -> IsolationReport:
    parts = tuple(changed if part.section is changed.section else part for part in report.parts)
    return replace(report, parts=parts)


BROKEN = replace(
    _with(WHOLE, Part(Section.PROBES, Tally(400, 789, 0, 1), (LEAK,))),
    matrix=(replace(EVENTS, broken=frozenset({("admin", "select")})), *WHOLE.matrix[1:]),
)
SKIPPED = _with(WHOLE, Part(Section.API, skipped="no REST server was named"))


class Page(HTMLParser):
    """What a reader of the page meets: its words, tags, attributes, and cells by column."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._in_cell:
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return "".join(self.words)

    def row(self, first: str) -> list[str]:
        """The last table's row of this name: the matrix comes after the counts."""
        return [row for row in self.rows if row and row[0] == first][-1]


@pytest.fixture(autouse=True)
def _hundred_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def _terminal(report: IsolationReport, capsys: pytest.CaptureFixture[str], show: int = 5) -> str:
    print_isolation(report, show)
    return capsys.readouterr().out


def _hostile(text: str) -> IsolationReport:
    """Every text that may come from a database, or from whoever runs the proof."""
    finding = Finding(Section.LINTS, Kind.WEAK, *([text] * 6))
    part = Part(Section.LINTS, Tally(failed=1), (finding,), text, facts=(text,))
    row = Row(text, text, {text: {text: text}}, frozenset({(text, text), ("anon", text)}))
    report = replace(
        _with(WHOLE, part),
        database=text,
        server_version=text,
        proven_at=text,
        identities={text: text, **IDENTITIES},
        matrix=(row, *WHOLE.matrix),
    )
    return replace(report, details={"roles": {text: text}})


def test_letters_tell_own_from_everybodys_from_nothing_from_refused() -> None:
    shown = {name: letters.cell(EVENTS, name).text for name in IDENTITIES}

    assert shown == {"anon": "----", "user": "si-·", "admin": "si-·", "service_role": "SIUD"}
    assert letters.cell(PRIVATE[0], "user").text == "·"
    assert letters.cell(REFRESH, "service_role").text == "X"
    assert letters.cell(LEDGER, "user").text == "G·"
    assert letters.cell(EVENTS, "user").words == (
        "select: own rows; insert: own row, once; update: nothing comes of it; delete: refused"
    )


def test_a_broken_letter_names_its_operation_even_where_all_is_refused() -> None:
    row = replace(PRIVATE[0], broken=frozenset({("user", "delete"), ("user", "truncate")}))

    cell = letters.cell(row, "user")
    assert cell.broken
    assert cell.text == "···!d![truncate]"
    assert "BROKEN delete: refused" in cell.words
    assert not letters.cell(row, "anon").broken


def test_an_unknown_reach_is_neither_open_nor_refused() -> None:
    cell = letters.cell(Row("public.t", "sequence", {"user": {"usage": "some"}}), "user")

    assert cell.text == "?"
    assert "some" in cell.words


@pytest.mark.parametrize(
    ("report", "standing"),
    [
        (WHOLE, Standing.ISOLATED),
        (BROKEN, Standing.OPEN),
        (SKIPPED, Standing.PARTIAL),
        (replace(WHOLE, parts=WHOLE.parts[1:]), Standing.PARTIAL),
        (replace(WHOLE, parts=WHOLE.parts[:-1]), Standing.ISOLATED),
        (replace(WHOLE, parts=tuple(Part(section) for section in Section)), Standing.PARTIAL),
        (_with(WHOLE, Part(Section.ATTACKS, Tally(1, 1, vacuous=1))), Standing.PARTIAL),
        (_with(WHOLE, Part(Section.ATTACKS, Tally(1, 1, failed=1))), Standing.PARTIAL),
        (replace(WHOLE, matrix=BROKEN.matrix), Standing.OPEN),
    ],
    ids=[
        "whole",
        "a leak",
        "skipped",
        "no part",
        "no API asked for",
        "no probe",
        "vacuous",
        "failed",
        "a cell",
    ],
)
def test_only_a_whole_proof_without_findings_says_isolated(
    report: IsolationReport, standing: Standing, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Page(render_html(report))
    last = _terminal(report, capsys).splitlines()[-1]

    assert letters.standing(report) is standing
    assert letters.verdict(report) in page.text
    assert re.search(rf": {standing}(; skipped: \w+)?$", last)
    assert isolation_object(report)["verdict"] == standing
    assert bool(letters.gaps(report)) == (standing is Standing.PARTIAL)


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    for report in (WHOLE, BROKEN, SKIPPED):
        html = render_html(report)
        for reference in (
            "http:",
            "https:",
            "src=",
            "href=",
            "url(",
            "@import",
            "<script",
            "<link",
        ):
            assert reference not in html
        assert "default-src 'none'" in html


def test_hostile_names_are_only_text_on_the_page() -> None:
    page = Page(render_html(_hostile(HOSTILE)))

    assert HOSTILE in page.text
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "img"})
    for _, attributes in page.tags:
        assert attributes.keys() <= {
            *("class", "id", "title", "scope", "colspan", "role", "tabindex", "lang", "charset"),
            *("aria-label", "aria-labelledby", "name", "content", "http-equiv"),
        }


def test_invisible_characters_become_visible_on_the_page() -> None:
    html = render_html(_hostile(STEERING + "\u200b\ud800"))

    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e\ud800]", html)
    assert "\\u202eesrever" in html
    html.encode()


def test_hostile_names_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    shown = _terminal(_hostile(STEERING), capsys)

    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert "[bold red]x[/]" in shown


def test_secrets_are_hidden_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    finding = replace(LEAK, text="as postgres://u:hunter2@h/d", reproduce="-- password=hunter2")
    facts = ("postgres://u:hunter2@h/d",)
    part = Part(Section.PROBES, Tally(1, 1), (finding,), "eyJhbGci.eyJyb2xl.hunter2", 0.0, facts)
    report = _with(WHOLE, part)

    assert "hunter2" not in render_html(report)
    assert "hunter2" not in _terminal(report, capsys)
    assert "hunter2" not in json.dumps(isolation_object(report))


def test_the_page_shows_all_there_is() -> None:
    page = Page(render_html(_with(BROKEN, SKIPPED.parts[-1])))

    for text in (BROKEN.database, BROKEN.server_version, BROKEN.proven_at, WAIVER):
        assert text in page.text
    for text in (LEAK.subject, LEAK.text, LEAK.next_step, LEAK.reproduce, LEAK.identity):
        assert text in page.text
    for name, text in IDENTITIES.items():
        assert any(row[0] == name and row[-1] == text for row in page.rows)
    for text in (*PROVEN, *UNPROVEN, *(f"{s}{m}" for s, m in letters.LEGEND)):
        assert text in page.text
    for row in BROKEN.matrix:
        assert len(page.row(row.subject)) == 1 + len(IDENTITIES)
    assert page.text.index("SKIPPED") < page.text.index("Counts")
    assert page.row("api")[-1] == "SKIPPED: no REST server was named"


def test_the_pages_tables_say_what_their_headings_head() -> None:
    page = Page(render_html(BROKEN))

    scopes = [attributes.get("scope") for tag, attributes in page.tags if tag == "th"]
    assert set(scopes) == {"col", "row", "rowgroup"}
    captions = sum(tag == "caption" for tag, _ in page.tags)
    assert captions == sum(tag == "table" for tag, _ in page.tags)


def test_a_broken_cell_says_so_in_words() -> None:
    page = Page(render_html(BROKEN))

    anon, user, admin, _ = page.row("public.token_events")[1:]
    assert (anon, user) == ("----", "si-·")
    assert admin == "!si-·broken"
    titles = [str(attributes.get("title")) for _, attributes in page.tags]
    assert any("admin, public.token_events: BROKEN select" in title for title in titles)
    assert "broken" not in Page(render_html(WHOLE)).row("public.token_events")


def test_the_pages_counts_add_up() -> None:
    page = Page(render_html(BROKEN))

    def numbers(part: str) -> list[float]:
        row = next(row for row in page.rows if row[0] == part)
        return [float(text.replace(",", "")) for text in row[1:8]]

    parts = [numbers(part.section) for part in BROKEN.parts]
    assert numbers("all parts") == [sum(column) for column in zip(*parts, strict=True)]
    for probes, denials, allowed, vacuous, failed, *_ in [*parts, numbers("all parts")]:
        assert probes == denials + allowed + vacuous + failed
    assert next(row for row in page.rows if row[0] == "leak")[1] == "1"


def test_the_terminal_shows_the_proof_of_a_whole_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = _terminal(WHOLE, capsys).splitlines()

    assert lines[-1] == (
        "PostgreSQL 17.10, 1,234 probes: 800 denials each beside an allowed case, "
        "434 allowed, 0 vacuous; 0 findings: isolated"
    )
    assert "3 private objects of ledger (3 tables): nobody" in lines
    assert "user +1: user, admin: the same letters in each row" in lines
    assert "  user (authenticated): a signed-in user" in lines
    assert f"  {WAIVER}" in lines
    assert all(len(line) <= 100 for line in lines[:-1])


def test_what_is_broken_is_neither_folded_nor_joined(capsys: pytest.CaptureFixture[str]) -> None:
    private = replace(PRIVATE[0], broken=frozenset({("anon", "select")}))
    shown = _terminal(replace(BROKEN, matrix=(BROKEN.matrix[0], private, *PRIVATE[1:])), capsys)

    assert re.search(r"public\.token_events +---- +si-· +!si-· +SIUD", shown)
    assert re.search(r"ledger\.private_0 +!s···", shown)
    assert "2 private objects of ledger" in shown


def test_the_terminal_shows_some_findings_of_each_part_and_tells_of_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    leaks = tuple(replace(LEAK, text=f"leak {number}") for number in range(4))
    shown = _terminal(_with(SKIPPED, Part(Section.PROBES, findings=leaks)), capsys, show=2)

    assert shown.count("next: drop the policy or declare it") == 2
    assert "      select 1 where 1 < 2;" in shown.splitlines()
    assert "leak 1" in shown
    assert "leak 2" not in shown
    assert "  and 2 more" in shown.splitlines()
    assert "NOT WHOLE: api skipped: no REST server was named" in shown


def test_json_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(isolation_object(BROKEN))
    told = json.loads(capsys.readouterr().out)

    assert (told["isolated"], told["server_version"]) == (False, "17.10")
    assert told["probes"] == told["denials"] + told["allowed"] + told["vacuous"] + told["failed"]
    assert sum(part["tally"]["probes"] for part in told["parts"]) == told["probes"]
    (finding,) = told["findings"]
    assert finding["finding"] == LEAK.text
    assert (finding["section"], finding["kind"]) == ("probes", "leak")
    assert finding["reproduce"] == LEAK.reproduce
    assert [row["subject"] for row in told["matrix"]] == [row.subject for row in BROKEN.matrix]
    assert told["matrix"][0]["reach"] == EVENTS.reach
    assert told["matrix"][0]["broken"] == [{"identity": "admin", "operation": "select"}]
    assert [part["section"] for part in told["parts"]] == list(Section)
    assert told["parts"][5]["facts"] == [WAIVER]
    assert {who["name"]: who["text"] for who in told["identities"]} == IDENTITIES


def test_json_of_hostile_names_stays_json() -> None:
    for text in (HOSTILE, STEERING):
        told = json.loads(json.dumps(isolation_object(_hostile(text))))
        assert told["findings"][0]["subject"] == text
