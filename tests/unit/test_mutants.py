"""Conditions are split where they may be, and samples are the same everywhere."""

from __future__ import annotations

import importlib
import json
from collections import Counter

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from toolkit.bootstrap import StartingPoint
from toolkit.errors import UsageError
from toolkit.isolation.access import Access, Rule
from toolkit.isolation.declaration import load_access
from toolkit.isolation.report import Section
from toolkit.mutation.conjuncts import join, split, where_clauses, without_each, words
from toolkit.mutation.filters import without_filters
from toolkit.mutation.functions import with_body
from toolkit.mutation.model import Mutant, MutantKind
from toolkit.mutation.run import MutationOptions, MutationReport
from toolkit.mutation.sample import sample
from toolkit.mutation.score import Outcome, Score

SIMPLE = [
    "a = 1",
    "b = 'x and y'",
    "(c or d)",
    '"x and y" is null',
    "e in (select 1 where f and g)",
    "h between 1 and 2",
    "case when i and j then k else l end",
    "not (m and n)",
    "o = $q$ and ) $q$",
    r"p = E'it\' and ('",
    "q /* and ( /* nested */ */ = 1",
    "r[1 + (2)] = 3",
]


@given(st.lists(st.sampled_from(SIMPLE), min_size=1, max_size=6))
def test_conjuncts_come_apart_as_they_were_put_together(conjuncts: list[str]) -> None:
    assert split(" and ".join(conjuncts)) == tuple(
        part[1:-1] if len(conjuncts) == 1 and part.startswith("(") else part for part in conjuncts
    )
    assert split(f"(({' AND '.join(f'({part})' for part in [*conjuncts, 'z'])}))") == (
        *(f"({part})" for part in conjuncts),
        "(z)",
    )


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("((a = 1))", ("a = 1",)),
        ("(a) and (b)", ("(a)", "(b)")),
        ("(a and b) or c", ("(a and b) or c",)),
        ("a and b or c", ("a and b or c",)),
        ("(a or b) AND c", ("(a or b)", "c")),
        ("a between symmetric 1 and 2 and b", ("a between symmetric 1 and 2", "b")),
        ("a -- and\n and b", ("a -- and", "b")),
        (
            "((user_id = ( SELECT auth.uid() AS uid)) AND ((a IS NULL) OR (NOT (m ? 'x and y'))))",
            (
                "(user_id = ( SELECT auth.uid() AS uid))",
                "((a IS NULL) OR (NOT (m ? 'x and y')))",
            ),
        ),
    ],
)
def test_conditions_are_split_at_their_own_ands_only(
    condition: str, expected: tuple[str, ...]
) -> None:
    assert split(condition) == expected


def test_each_conjunct_is_removed_once_and_the_rest_stays() -> None:
    assert list(without_each("a and (b or c) and d")) == [
        ("a", "((b or c)) and (d)"),
        ("(b or c)", "(a) and (d)"),
        ("d", "(a) and ((b or c))"),
    ]
    assert list(without_each("a = 1")) == [("a = 1", "true")]
    assert join(("a -- why",)) == "(a -- why\n)"


def test_where_clauses_of_a_query_and_its_ctes_are_found_and_no_others() -> None:
    query = """
      with own as materialized (
        select * from t where user_id = 1 and x -- where
        order by 1
      ), counted as (select count(*) filter (where y) from own)
      select * from own as o where exists (select from u where u.id = o.id) and 'where' = ''
      group by 1
      union all
      select * from v where z
    """

    assert [clause.text for clause in where_clauses(query)] == [
        "user_id = 1 and x -- where",
        "exists (select from u where u.id = o.id) and 'where' = ''",
        "z",
    ]
    assert all(query[c.start : c.end] == c.text for c in where_clauses(query))


def test_only_filters_by_owner_are_removed() -> None:
    access = load_access()
    body = (
        "select * from public.token_events as e where e.user_id = p and not e.is_voided "
        "union all select * from public.token_events as e where e.user_id = p"
    )

    removed = dict(without_filters(body, access))

    assert list(removed) == ["e.user_id = p", "e.user_id = p (number 2)"]
    assert "where (not e.is_voided)" in removed["e.user_id = p"]
    assert removed["e.user_id = p (number 2)"].endswith("where true\n")
    assert not list(without_filters("select * from elsewhere where user_id = 1", access))
    assert list(without_filters("select 1 where auth.uid() is not null", access))


def test_strings_are_no_words() -> None:
    assert words("""select "User_Id", 'uid' -- uid""") == {"select", "User_Id"}


def test_the_body_is_replaced_where_it_stands() -> None:
    assert with_body("create f() -- x\nas $$x$$", "x", "y") == "create f() -- x\nas $$y$$"


def some(count: int) -> list[Mutant]:
    kinds = list(MutantKind)
    few = [Mutant(f"mutant of {kind}", kind, "t", ("select 1",)) for kind in kinds]
    many = [
        Mutant(f"grant {number}", MutantKind.GRANT, "t", ("select 1",)) for number in range(count)
    ]
    return few + many


def test_a_sample_is_the_same_everywhere_and_in_every_order() -> None:
    everything = some(1000)

    chosen = sample(everything, count=30)

    assert chosen == sample(everything, count=30)
    assert {m.name for m in chosen} == {m.name for m in sample(everything[::-1], count=30)}
    assert [everything.index(mutant) for mutant in chosen] == sorted(map(everything.index, chosen))
    # Written down, so that another machine or Python cannot choose others unnoticed.
    assert [m.name for m in chosen if m.name.startswith("grant")][:3] == [
        *("grant 25", "grant 95", "grant 233"),
    ]
    assert chosen != sample(everything, count=30, seed=2)


def test_every_kind_is_represented_and_the_count_is_kept() -> None:
    everything = some(1000)

    assert len(sample(everything, count=100)) == 100
    assert {m.kind for m in sample(everything, count=1)} == set(MutantKind)
    assert len(sample(everything, share=0.5)) == -(-len(everything) // 2)
    assert sample(everything, share=1) == tuple(everything)
    assert sample(everything, count=5000) == tuple(everything)
    assert sample([], count=5) == ()


def test_a_sample_of_nothing_is_refused() -> None:
    for count, share in ((0, None), (None, 0.0), (None, 1.5), (None, None), (5, 0.5)):
        with pytest.raises(UsageError):
            sample(some(5), count=count, share=share)


def outcome(number: int, *sections: Section, inapplicable: str = "") -> Outcome:
    mutant = Mutant(f"grant {number}", MutantKind.GRANT, "t", ("select 1",))
    return Outcome(mutant, sections, inapplicable)


def test_a_score_counts_each_outcome_once() -> None:
    score = Score(
        (
            outcome(1, Section.PROBES, Section.LINTS),
            outcome(2, Section.LINTS),
            outcome(3),
            outcome(4, inapplicable="rows violate it"),
        )
    )

    assert (score.mutants, score.killed, score.by_doing, score.by_reading) == (4, 2, 1, 1)
    assert [o.mutant.name for o in score.survivors] == ["grant 3"]
    assert [o.mutant.name for o in score.inapplicable] == ["grant 4"]
    assert score.percent == 66.6
    assert not score.complete
    assert score.by_kind() == {MutantKind.GRANT: score}
    assert score.as_object()["kinds"]["grant added"]["survived"] == 1


def test_one_survivor_is_never_rounded_away() -> None:
    killed = tuple(outcome(number, Section.COVERAGE) for number in range(5000))

    assert Score((*killed, outcome(0))).percent == 99.9
    assert Score(killed).percent == 100
    assert Score(killed).complete
    assert not Score(()).complete
    assert not Score((outcome(1, inapplicable="rows violate it"),)).complete


def test_the_owner_is_what_the_declaration_calls_it() -> None:
    access = Access((), (), (), (), {}, {"public.t": Rule("public.t", "table", owner="holder")})

    removed = Counter(
        name
        for name, _ in without_filters("select * from t where holder = 1 and user_id = 2", access)
    )

    assert removed == {"holder = 1": 1}


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("survives", [False, True])
def test_the_command_prints_each_survivor_and_its_statements(
    monkeypatch: pytest.MonkeyPatch, as_json: bool, survives: bool
) -> None:
    asked: list[MutationOptions] = []
    survivors = (outcome(2),) if survives else ()

    def run(options: MutationOptions, *_: object) -> MutationReport:
        asked.append(options)
        score = Score((outcome(1, Section.PROBES), *survivors))
        return MutationReport("17.10", options.starting_point, 7, score, {"score": 1.0})

    # By its name: another module of the package may be called the same.
    module = importlib.import_module("toolkit.cli.mutation")
    monkeypatch.setattr(module, "run_mutation", run)
    app = typer.Typer()
    app.command()(module.mutation)
    arguments = ["--from", "empty", "--sample", "2", *(["--json"] if as_json else [])]

    result = CliRunner().invoke(app, arguments)

    assert result.exit_code == int(survives)
    assert asked == [MutationOptions(StartingPoint.EMPTY, count=2)]
    if as_json:
        answer = json.loads(result.stdout)
        assert (answer["mutants"], answer["mutants_there"]) == (1 + survives, 7)
        assert [s["statements"] for s in answer["survivors"]] == [["select 1"]] * survives
    else:
        assert ("survived: grant 2\n  select 1;" in result.stdout) == survives
        assert "others were not tried" in result.stdout
