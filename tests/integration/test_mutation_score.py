"""A score counts what a proof finds, and nothing that only looks like finding."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import LiteralString
from uuid import uuid4

import pytest

from tests.support.database import Connection, Database
from tests.support.events import record
from toolkit.bootstrap import StartingPoint
from toolkit.errors import FindingsError, OperationalError
from toolkit.isolation.access import Access
from toolkit.isolation.declaration import load_access
from toolkit.isolation.report import Finding, Kind, Part, Section
from toolkit.isolation.run import prove_inside
from toolkit.mutation.model import Mutant, MutantKind
from toolkit.mutation.mutants import mutants
from toolkit.mutation.run import MutationOptions, run_mutation
from toolkit.mutation.sample import sample
from toolkit.mutation.score import Outcome, Prover, Score, judge, score

pytestmark = pytest.mark.slow

ACCESS = load_access()
FINDING = Finding(Section.LINTS, Kind.WEAK, "public.token_events", "made up")


@pytest.fixture
def postgres(db: Database) -> Iterator[Connection]:
    with db.connect(autocommit=True) as connection:
        yield connection


def one_of_each_kind(connection: Connection) -> tuple[Mutant, ...]:
    return sample(mutants(connection, ACCESS), count=1)


def named(connection: Connection, name: str) -> Mutant:
    return next(mutant for mutant in mutants(connection, ACCESS) if mutant.name == name)


def without_rls(connection: Connection, *tables: str) -> tuple[Finding, ...]:
    row = connection.execute(
        "select count(*) from pg_class where oid::regclass::text = any (%s) and not relrowsecurity",
        (list(tables),),
    ).fetchone()
    return (FINDING,) * (row[0] if row else 0)


def find_nothing(connection: Connection, access: Access) -> tuple[Part, ...]:
    return (Part(Section.PROBES), Part(Section.LINTS))


def always_find(connection: Connection, access: Access) -> tuple[Part, ...]:
    return (Part(Section.LINTS, findings=(FINDING,)),)


def watch_two_tables(connection: Connection, access: Access) -> tuple[Part, ...]:
    return (
        Part(Section.PROBES, findings=without_rls(connection, "ledger.readings")),
        Part(Section.LINTS, findings=without_rls(connection, "ledger.readings", "token_events")),
    )


def break_off(connection: Connection, access: Access) -> tuple[Part, ...]:
    if without_rls(connection, "token_events"):
        raise ZeroDivisionError("nobody foresaw this")
    return ()


def lose_the_connection(connection: Connection, access: Access) -> tuple[Part, ...]:
    if without_rls(connection, "token_events"):
        connection.execute("select pg_terminate_backend(pg_backend_pid())")
    return ()


RLS_OFF = "row level security disabled: public.token_events"


def test_a_prover_that_finds_nothing_scores_nothing(postgres: Connection) -> None:
    chosen = one_of_each_kind(postgres)
    told: list[tuple[int, int]] = []

    result = score(postgres, ACCESS, find_nothing, chosen, lambda *n: told.append(n))

    assert (result.percent, result.killed) == (0, 0)
    assert result.mutants == len(result.survivors) == len(MutantKind)
    assert told == [(n, len(chosen)) for n in range(1, len(chosen) + 1)]


def test_a_prover_that_finds_something_in_each_scores_all(postgres: Connection) -> None:
    clean = iter([True])

    def prove(connection: Connection, access: Access) -> tuple[Part, ...]:
        return () if next(clean, False) else always_find(connection, access)

    result = score(postgres, ACCESS, prove, one_of_each_kind(postgres))

    assert (result.percent, result.by_doing, result.by_reading) == (100, 0, len(MutantKind))
    assert result.complete


def test_a_mutant_is_killed_by_the_sections_that_found_it(postgres: Connection) -> None:
    chosen = [m for m in mutants(postgres, ACCESS) if m.kind is MutantKind.RLS_OFF]

    result = score(postgres, ACCESS, watch_two_tables, chosen)

    assert {o.mutant.subject: o.killed_by for o in result.outcomes if o.killed} == {
        "ledger.readings": (Section.PROBES, Section.LINTS),
        "public.token_events": (Section.LINTS,),
    }
    assert (result.by_doing, result.by_reading) == (1, 1)
    assert len(result.survivors) == len(chosen) - 2


def test_a_database_with_findings_is_refused(postgres: Connection) -> None:
    with pytest.raises(FindingsError, match="1 things in the database before any mutant") as error:
        score(postgres, ACCESS, always_find, one_of_each_kind(postgres))

    assert error.value.details == ("lints: public.token_events: made up",)


@pytest.mark.parametrize("prove", [break_off, lose_the_connection])
def test_a_proof_that_breaks_off_is_no_kill(postgres: Connection, prove: Prover) -> None:
    with pytest.raises(OperationalError, match="the proof failed on the mutant") as error:
        score(postgres, ACCESS, prove, [named(postgres, RLS_OFF)])

    assert RLS_OFF in error.value.message
    assert type(error.value.__cause__).__name__ in ("ZeroDivisionError", "AdminShutdown")


def test_a_proof_that_breaks_off_without_a_mutant_says_so(postgres: Connection) -> None:
    postgres.execute("alter table public.token_events disable row level security")

    with pytest.raises(OperationalError, match="on the database without any mutant"):
        score(postgres, ACCESS, break_off, one_of_each_kind(postgres))


def test_a_mutant_that_existing_rows_violate_is_inapplicable(
    db: Database, postgres: Connection
) -> None:
    shared = uuid4()
    for _ in range(2):
        record(postgres, db.add_user(), id=shared)
    key = named(postgres, "key without user_id: token_events_tenant_pkey on public.token_events")

    result = score(postgres, ACCESS, watch_two_tables, [key, named(postgres, RLS_OFF)])

    (found,) = result.inapplicable
    assert found.mutant == key
    assert "23505" in found.inapplicable
    assert (result.killed, result.percent, result.survivors) == (1, 100, ())


@pytest.mark.parametrize("statement", ["drop policy", "drop table public.nowhere"])
def test_a_mutant_that_is_no_valid_sql_is_a_defect(
    postgres: Connection, statement: LiteralString
) -> None:
    mutant = dataclasses.replace(named(postgres, RLS_OFF), statements=(statement,))

    with pytest.raises(OperationalError, match="cannot be applied") as error:
        judge(postgres, ACCESS, always_find, mutant)

    assert error.value.details == (statement,)


@pytest.mark.parametrize(
    "statement",
    [
        "select 1",
        "alter table public.token_events set (fillfactor = 80)",
        "create index mutant on public.token_events (created_at)",
        "comment on table public.token_events is 'a mutant that weakens nothing'",
        "insert into auth.users (id) values (gen_random_uuid())",
    ],
)
def test_the_real_proof_lets_a_harmless_change_live(
    postgres: Connection, statement: LiteralString
) -> None:
    """Otherwise a kill would only say that something changed."""
    harmless = Mutant(statement, MutantKind.PLANTED, "public.token_events", (statement,))

    assert judge(postgres, ACCESS, prove_inside, harmless).survived


class Silence:
    """An observer that keeps the last progress."""

    last = (0, 0)

    def step(self, name: str) -> None: ...

    def progress(self, done: int, total: int) -> None:
        self.last = (done, total)

    def note(self, text: str) -> None: ...


@pytest.mark.parametrize("starting_point", list(StartingPoint))
def test_workers_score_a_migrated_database_of_their_own(starting_point: StartingPoint) -> None:
    observer = Silence()

    report = run_mutation(MutationOptions(starting_point, count=40), watch_two_tables, observer)

    assert report.score.mutants == 40 == observer.last[0]
    assert report.there > 1000
    assert {o.mutant.subject for o in report.score.outcomes if o.killed} <= {
        "ledger.readings",
        "public.token_events",
    }
    assert report.as_object()["mutants"] == 40
    assert set(report.seconds) >= {"start", "migrate", "copy", "score"}


@pytest.mark.parametrize(
    ("prove", "error", "text"),
    [
        (always_find, FindingsError, "before any mutant"),
        (break_off, OperationalError, RLS_OFF),
    ],
)
def test_errors_of_workers_arrive_whole(prove: Prover, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        run_mutation(MutationOptions(StartingPoint.EMPTY, count=200), prove, Silence())


def test_outcomes_of_two_databases_are_those_of_one(postgres: Connection) -> None:
    outcomes = run_mutation(
        MutationOptions(StartingPoint.EMPTY, count=30), watch_two_tables, Silence()
    ).score.outcomes
    chosen = sample(mutants(postgres, ACCESS), count=30)

    alone = score(postgres, ACCESS, watch_two_tables, chosen)

    def without_statements(found: tuple[Outcome, ...]) -> list[tuple[str, bool, str]]:
        return [(o.mutant.name, o.killed, o.inapplicable) for o in found]

    assert without_statements(outcomes) == without_statements(alone.outcomes)
    assert isinstance(alone, Score)
