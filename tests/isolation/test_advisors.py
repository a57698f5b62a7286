"""Supabase's advisors: quiet on what the rollout makes, and a finding for each fault planted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.database import Database
from tests.support.editions import ALL, EDITIONS, Edition, database_of, edition_name
from tests.support.servers import Databases, MakeDatabase, default_major
from toolkit.bootstrap import StartingPoint
from toolkit.connection import parse
from toolkit.errors import OperationalError
from toolkit.isolation.access import Access
from toolkit.isolation.advice import Advice
from toolkit.isolation.advisors import Catalog, account, prove_advisors
from toolkit.isolation.declaration import load_access
from toolkit.isolation.report import Finding, Kind, Part, Section

LEVELS = ("(error)", "(warn)", "(info)")
CHANGED = "the definition has changed since"


def advised(database: Database, access: Access | None = None) -> Part:
    with database.connect() as connection:
        return prove_advisors(database.url, connection, access or load_access())


# Without a fault


@pytest.mark.parametrize("edition", EDITIONS, ids=edition_name)
def test_every_result_is_waived_with_a_reason(
    databases: Callable[[int], Databases], edition: Edition
) -> None:
    for database in database_of(databases, edition):
        part = advised(database)
        assert part.section is Section.ADVISORS
        assert part.findings == ()
        assert part.skipped == ""
        counted = re.fullmatch(r"Supabase CLI \d+\.\d+\.\d+: (\d+) results of .+", part.facts[0])
        waived = [fact for fact in part.facts if fact.startswith("waived: ")]
        assert counted is not None
        assert int(counted[1]) == len(waived) > 0
        assert all(re.fullmatch(r"waived: \w+ on .+: .{20,}", fact) for fact in waived)
        assert not [fact for fact in part.facts if "not needed" in fact]


def test_other_shapes_of_the_legacy_table_have_waivers_of_their_own(
    make_database: MakeDatabase,
) -> None:
    database = make_database(
        StartingPoint.DUAL_WRITE,
        date_type="timestamptz",
        unique_days=True,
        migrated=True,
        time_zone="UTC",
    )
    assert advised(database).findings == ()


# With faults


@dataclass(frozen=True)
class Fault:
    """What is planted, and what the findings about it must be: subject → lints."""

    plant: str
    subject: str
    lints: tuple[str, ...]
    changed: bool = False


FAULTS = {
    "a view with its owner's rights": Fault(
        "create view public.everybody as select * from public.token_events;"
        "grant select on public.everybody to authenticated",
        "public.everybody",
        ("security_definer_view",),
    ),
    "a table of public without row level security": Fault(
        "create table public.open_door (id uuid primary key);"
        "grant select on public.open_door to anon",
        "public.open_door",
        ("rls_disabled_in_public",),
    ),
    "row level security switched off": Fault(
        "alter table public.recalculation_batches disable row level security",
        "public.recalculation_batches",
        ("policy_exists_rls_disabled", "rls_disabled_in_public"),
    ),
    "a policy that asks who it is for each row": Fault(
        'create policy "Slow" on public.token_events for delete to authenticated'
        " using (auth.uid() = user_id)",
        'policy "Slow" on public.token_events',
        ("auth_rls_initplan",),
    ),
    "a function that finds what its caller puts in its way": Fault(
        "create function public.loose() returns integer language sql as 'select 1'",
        "public.loose()",
        ("function_search_path_mutable",),
    ),
    "a materialized view that the API reaches": Fault(
        "grant select on public.electricity_readings_mv to authenticated",
        "public.electricity_readings_mv",
        ("materialized_view_in_api",),
    ),
    "a table without a primary key": Fault(
        "create table ledger.keyless (id uuid); alter table ledger.keyless enable row level"
        ' security; create policy "None" on ledger.keyless for select to anon using (false)',
        "ledger.keyless",
        ("no_primary_key",),
    ),
    "a foreign key without an index": Fault(
        "alter table ledger.merges add constraint to_runs"
        " foreign key (run_id) references ledger.migration_runs (run_id)",
        "table constraint to_runs on ledger.merges",
        ("unindexed_foreign_keys",),
    ),
    "the same constraint changes a waived table": Fault(
        "select 1", "ledger.merges", ("rls_enabled_no_policy",), changed=True
    ),
    "a grant on a waived table": Fault(
        "grant select on ledger.settings to authenticated",
        "ledger.settings",
        ("rls_enabled_no_policy",),
        changed=True,
    ),
    "a grant on one column of a waived table": Fault(
        "grant select (reason) on ledger.set_aside to anon",
        "ledger.set_aside",
        ("rls_enabled_no_policy",),
        changed=True,
    ),
    "a waived index with another definition": Fault(
        "drop index public.token_events_void_of_event;"
        "create index token_events_void_of_event on public.token_events (user_id, void_of_event)",
        "index public.token_events_void_of_event",
        ("unused_index",),
        changed=True,
    ),
    "a waived function with other rights": Fault(
        "alter function ledger.reading_date(timestamptz, text) security definer",
        "ledger.reading_date(timestamp with time zone,text)",
        ("function_search_path_mutable",),
        changed=True,
    ),
    "an overload, whose body the advisors cannot tell from a waived one's": Fault(
        "create function ledger.reading_date(timestamptz) returns date language sql"
        " return $1::date",
        "ledger.reading_date(timestamp with time zone)",
        ("function_search_path_mutable",),
    ),
}


@pytest.fixture(scope="module")
def spoilt(databases: Callable[[int], Databases]) -> Iterator[Database]:
    """A database with every fault in it, and one thing mended that is waived."""
    edition = (default_major(), StartingPoint.EMPTY, ALL)
    for database in database_of(databases, edition):
        with database.connect() as connection:
            for fault in FAULTS.values():
                connection.execute(fault.plant.encode())
            connection.execute(
                'create policy "Nobody" on ledger.heads for select to anon using (false)'
            )
        yield database


@pytest.fixture(scope="module")
def proof(spoilt: Database) -> Part:
    return advised(spoilt)


def lint_of(finding: Finding) -> str:
    return finding.text.partition(" ")[0]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_a_finding(proof: Part, fault: Fault) -> None:
    found = [finding for finding in proof.findings if finding.subject == fault.subject]
    assert sorted(map(lint_of, found)) == sorted(fault.lints)
    for finding in found:
        assert finding.kind is Kind.WEAK
        assert finding.text.split()[1] in {f"{level}:" for level in LEVELS}
        assert (CHANGED in finding.text) is fault.changed
        assert finding.next_step.startswith("mend it (https://")


def test_nothing_else_is_a_finding(proof: Part) -> None:
    expected = [(fault.subject, lint) for fault in FAULTS.values() for lint in fault.lints]
    assert sorted((f.subject, lint_of(f)) for f in proof.findings) == sorted(expected)
    assert f", {len(expected)} neither mended nor waived" in proof.facts[1]


def test_a_waiver_without_a_result_is_told_and_no_finding(proof: Part) -> None:
    unneeded = [fact for fact in proof.facts if "not needed" in fact]
    assert unneeded == [
        "a waiver not needed here: rls_enabled_no_policy on table ledger.heads",
    ]


def test_what_a_finding_says_to_write_waives_it(
    spoilt: Database, proof: Part, tmp_path: Path
) -> None:
    entries = [finding.next_step.partition("\n")[2] for finding in proof.findings]
    file = tmp_path / "access.toml"
    file.write_text("\n".join(["version = 1", *entries]))
    assert advised(spoilt, load_access(file)).findings == ()


def test_a_loosened_policy_of_the_app_is_no_longer_waived(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.DUAL_WRITE, migrated=True, time_zone="UTC")
    database.rows(
        'alter policy "Users can view own readings" on public.electricity_readings'
        " using (auth.uid() = user_id or auth.uid() is not null)"
    )
    (finding,) = advised(database).findings
    assert finding.subject == 'policy "Users can view own readings" on public.electricity_readings'
    assert CHANGED in finding.text
    assert "auth.uid() IS NOT NULL" in finding.next_step


def test_the_advisors_look_into_every_schema_that_is_declared_exposed(db: Database) -> None:
    with db.connect() as connection:
        connection.execute("create schema api")
        connection.execute("create view api.everybody as select * from public.token_events")
        connection.execute("grant select on api.everybody to authenticated")
    (finding,) = advised(db, replace(load_access(), exposed=("public", "api"))).findings
    assert finding.subject == "api.everybody"


def test_a_result_about_what_nobody_can_tell_is_a_finding(spoilt: Database) -> None:
    advice = Advice("new_lint", "warn", "Something", "read", "relation", "public", "gone", "")
    with spoilt.connect() as connection:
        findings, _ = account([advice], Catalog(connection), load_access().waivers)
    assert [(f.subject, f.text) for f in findings] == [
        ("public.gone", "new_lint (warn): Something")
    ]
    assert findings[0].next_step


def test_the_caller_keeps_its_transaction_and_its_settings(spoilt: Database) -> None:
    with spoilt.connect() as connection:
        connection.execute("create temporary table mine (id integer) on commit drop")
        before = connection.execute("select current_setting('search_path')").fetchone()
        assert Catalog(connection).objects
        assert connection.execute("select current_setting('search_path')").fetchone() == before
        assert connection.execute("select count(*) from mine").fetchone() == (0,)


# Without a CLI that answers


def test_without_a_cli_the_proof_says_that_it_was_skipped(
    spoilt: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METERLEDGER_SUPABASE_CLI", "/nowhere/supabase")
    part = advised(spoilt)
    assert part.findings == ()
    assert "METERLEDGER_SUPABASE_CLI names no program" in part.skipped
    assert "name the supabase executable" in part.skipped


def test_a_cli_that_cannot_be_run_is_skipped(
    spoilt: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_in(tmp_path, monkeypatch, "echo 'env: node: No such file or directory' >&2; exit 127")
    assert "cannot be run: env: node: No such file" in advised(spoilt).skipped


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ('{"error": {"code": "X", "message": "lint 7 fell over"}}', "lint 7 fell over"),
        ("Segmentation fault", "Segmentation fault"),
        ("", "it gave no reason"),
    ],
)
def test_a_cli_that_fails_is_one_clear_error(
    spoilt: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, says: str
) -> None:
    stands_in(tmp_path, monkeypatch, f"echo '{answer}'; exit 1")
    with pytest.raises(OperationalError) as raised:
        advised(spoilt)
    assert raised.value.message == f"supabase db advisors failed: {says}"
    assert "this one is of an unknown version" in raised.value.next_step


def test_a_cli_that_repeats_the_password_is_not_repeated(
    spoilt: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_in(tmp_path, monkeypatch, 'echo "bad $PGPASSWORD"; echo "bad $PGPASSWORD" >&2; exit 1')
    with pytest.raises(OperationalError) as raised:
        advised(spoilt)
    said = "\n".join((raised.value.message, *raised.value.details))
    assert said == "supabase db advisors failed: bad ***\nbad ***"


def test_an_answer_without_results_is_an_error(
    spoilt: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_in(tmp_path, monkeypatch, "echo '{}'")
    with pytest.raises(OperationalError, match="answered without a list of results"):
        advised(spoilt)


def test_the_real_cli_that_is_refused_is_one_clear_error(spoilt: Database) -> None:
    secret = parse(spoilt.url)["password"]
    wrong = replace(spoilt, url=spoilt.url.replace(secret, "wrong-horse"))
    with spoilt.connect() as connection, pytest.raises(OperationalError) as raised:
        prove_advisors(wrong.url, connection, load_access())
    assert "password authentication failed" in raised.value.message
    assert "wrong-horse" not in "\n".join((raised.value.message, *raised.value.details))


def test_the_password_is_not_on_the_command_line(
    spoilt: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stands_in(tmp_path, monkeypatch, f'echo "$@" >> {tmp_path}/words', "echo '{\"results\": []}'")
    assert advised(spoilt).findings == ()
    words = (tmp_path / "words").read_text()
    assert f"--remote postgresql://postgres@{parse(spoilt.url)['host']}" in words
    assert parse(spoilt.url)["password"] not in words


def stands_in(folder: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Not the real CLI: a script that answers as some test needs it."""
    script = folder / "supabase"
    script.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    script.chmod(0o755)
    monkeypatch.setenv("METERLEDGER_SUPABASE_CLI", str(script))
