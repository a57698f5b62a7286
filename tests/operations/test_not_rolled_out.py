"""One rule where there is no rollout: what reports a state answers, what needs a rollout stops."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.backfill import Said
from tests.support.database import Database
from tests.support.deploying import QUICK, deploys
from tests.support.household import ZONE, plant
from tests.support.rollout import apply, before
from tests.support.servers import Databases, Template, default_major
from tests.support.typing_in import Types, types_in
from toolkit import cli
from toolkit.bootstrap import StartingPoint
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, EXIT_OPERATIONAL
from toolkit.operations.backfill import BackfillOptions, run_backfill
from toolkit.operations.rollback import run_rollback

ENV = "staging"
NEEDS_A_ROLLOUT = {
    "validate": ("validate", ENV, "--no-drift"),
    "isolation": ("isolation", ENV, "--no-advisors"),
    "backfill": ("backfill", ENV, "--yes"),
    "rejects": ("rejects", ENV),
    "duplicates": ("duplicates", ENV),
    "receipt": ("receipt", ENV),
    "rollout --from validate": ("rollout", ENV, "--from", "validate", "--yes"),
}
REPORTS = {"status": ("status", ENV), "doctor": ("doctor", ENV)}
DEPLOY = f"meterledger deploy {ENV} --defer-backfill"
BACKFILL = f"meterledger backfill {ENV}"


def backfill(database: Database) -> None:
    run_backfill(database.url, BackfillOptions(), Said())


def roll_back(database: Database, to: str) -> None:
    backfill(database)
    run_rollback(database.url, to, Said())


# From a database with the app's tables, or from one that was deployed without its data.
BARE: dict[str, Callable[[Database], None]] = {
    "never": lambda _: None,
    "half": lambda database: apply(database, before("20261101000300"), time_zone=ZONE),
}
DEPLOYED: dict[str, Callable[[Database], None]] = {
    "half, rolled back": lambda database: roll_back(database, "create_event_sourcing_tables"),
    "rolled back whole": lambda database: roll_back(database, "nothing"),
    "waiting": lambda _: None,
    "data rolled back": lambda database: roll_back(database, "data"),
    "moved": backfill,
}
STATES = [*BARE, *DEPLOYED]
WITHOUT = STATES[:4]
WAITING = ("waiting", "data rolled back")


@pytest.fixture(scope="module")
def states(databases: Callable[[int], Databases]) -> Iterator[Callable[[str], Database]]:
    """Each state, made once; nothing that is typed here changes it, but for the receipts."""
    owner = databases(default_major())
    made: dict[str, Database] = {}

    def base() -> Database:
        database = owner.make(Template(starting_point=StartingPoint.DUAL_WRITE))
        plant(database, StartingPoint.DUAL_WRITE)
        return database

    with ExitStack() as stack:
        deployed = base()
        deploys(database=deployed, options=replace(QUICK, time_zone=ZONE, defer_backfill=True))

        def state(name: str) -> Database:
            if name in BARE and name not in made:
                made[name] = base()
                BARE[name](made[name])
            elif name not in made:
                made[name] = stack.enter_context(owner.copy(deployed))
                DEPLOYED[name](made[name])
            return made[name]

        yield state
    for database in (deployed, *(made[name] for name in BARE if name in made)):
        owner.drop(database)


@pytest.fixture
def types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Types:
    """Types `meterledger …` in a folder of its own."""
    return types_in(cli.app, tmp_path, monkeypatch, capsys)


@pytest.fixture
def aims(states: Callable[[str], Database], tmp_path: Path) -> Callable[[str], Database]:
    """Makes staging the database of a state."""

    def aim(name: str) -> Database:
        database = states(name)
        lines = (f"DATABASE_URL={database.url}", f"METERLEDGER_RECEIPT_KEY={'k' * 40}")
        (tmp_path / f".env.{ENV}").write_text("\n".join(lines) + "\n", "utf-8")
        return database

    return aim


@pytest.mark.parametrize("state", WITHOUT)
@pytest.mark.parametrize("command", NEEDS_A_ROLLOUT)
def test_a_command_that_needs_a_rollout_stops_with_one_code(
    aims: Callable[[str], Database], types: Types, state: str, command: str
) -> None:
    aims(state)
    code, out, err = types(*NEEDS_A_ROLLOUT[command])

    assert (code, out) == (EXIT_OPERATIONAL, "")
    says = {
        "never": "is not rolled out",
        "half": "only partly rolled out, without create_materialized_view",
        "half, rolled back": "was rolled back, and is without create_position",
        "rolled back whole": "is not rolled out",
    }
    assert says[state] in err
    assert f"{DEPLOY}" in err.splitlines()[-1]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("command", REPORTS)
def test_a_command_that_reports_a_state_answers(
    aims: Callable[[str], Database], types: Types, state: str, command: str
) -> None:
    aims(state)
    code, out, err = types(*REPORTS[command])

    assert "error" not in err
    # A rollout that stopped half-way by itself is what the doctor is for.
    assert code == (EXIT_FINDINGS if (command, state) == ("doctor", "half") else EXIT_OK)
    if state != "moved":
        assert (BACKFILL if state in WAITING else DEPLOY) in out


def test_the_doctor_judges_the_state(aims: Callable[[str], Database], types: Types) -> None:
    extents = {
        "never": "nothing",
        "half": "partly",
        "half, rolled back": "rolled_back",
        "rolled back whole": "nothing",
        "waiting": "complete",
        "data rolled back": "rolled_back",
        "moved": "complete",
    }
    for state, extent in extents.items():
        aims(state)
        answer = json.loads(types("doctor", ENV, "--json")[1])
        assert (answer["state"]["extent"], answer["unseen"]) == (extent, []), state
        troubles = [one["check"] for one in answer["troubles"]]
        assert troubles == (["history"] if state == "half" else []), state
        assert (answer["state"]["rolled_back_at"] is not None) == (extent == "rolled_back")


@pytest.mark.parametrize("state", WAITING)
def test_lists_say_that_nothing_was_migrated_yet(
    aims: Callable[[str], Database], types: Types, state: str
) -> None:
    aims(state)
    for command in ("rejects", "duplicates"):
        code, out, _ = types(command, ENV)
        assert code == EXIT_OK
        assert out.splitlines() == [
            "nothing was migrated yet: the list is whole after the backfill",
            f"next: {BACKFILL}",
        ]
        answer = json.loads(types(command, ENV, "--json")[1])
        assert (answer["left"], answer["data"]) == (0, "nothing was migrated yet")
        assert answer["next_step"] == BACKFILL
    out = types("status", ENV)[1]
    assert "rejects and near matches: nothing was migrated yet" in out
    assert json.loads(types("status", ENV, "--json")[1])["next_step"] == BACKFILL


def test_lists_of_moved_data_are_whole(aims: Callable[[str], Database], types: Types) -> None:
    aims("moved")
    for command in ("rejects", "duplicates"):
        assert "migrated yet" not in types(command, ENV)[1]
        assert json.loads(types(command, ENV, "--json")[1])["next_step"] is None


@pytest.mark.parametrize("state", WAITING)
def test_what_waits_for_the_backfill_is_pending_and_no_defect(
    aims: Callable[[str], Database], types: Types, state: str
) -> None:
    database = aims(state)
    rows = database.value("select count(*) from public.electricity_readings")
    code, out, _ = types("validate", ENV, "--no-drift")
    assert code == EXIT_OPERATIONAL
    assert f"next: backfill pending: {BACKFILL}" in out
    assert "defect" not in out
    answer = json.loads(types("validate", ENV, "--no-drift", "--json")[1])
    assert (answer["valid"], answer["pending"], answer["differences"]) == (False, rows, 0)

    code, out, _ = types("receipt", ENV)
    assert code == EXIT_OPERATIONAL
    assert f"backfill pending: {BACKFILL}" in out
    assert "RED" not in out
    assert "defect" not in out


def test_a_defect_is_red_while_the_backfill_is_pending(
    databases: Callable[[int], Databases],
    states: Callable[[str], Database],
    types: Types,
    tmp_path: Path,
) -> None:
    """Of a row that the sync has migrated already, the view shows another balance."""
    with databases(default_major()).copy(states("data rolled back")) as database:
        (tmp_path / f".env.{ENV}").write_text(f"DATABASE_URL={database.url}\n", "utf-8")
        database.rows(
            "insert into public.electricity_readings (user_id, date, kwh_value)"
            " select p.id, '2026-03-01', 7 from public.user_profiles as p limit 1"
        )
        waiting = types("validate", ENV, "--no-drift")
        with database.admin() as connection:
            connection.execute("set session_replication_role = replica")
            connection.execute("update ledger.readings set kwh_value = 8 where date = '2026-03-01'")
        code, out, _ = types("validate", ENV, "--no-drift", "--json")
        answer = json.loads(out)

        assert waiting[0] == EXIT_OPERATIONAL
        assert code == EXIT_FINDINGS
        red = {check["name"] for check in answer["checks"] if check["verdict"] == "fail"}
        assert "lossless" in red
        assert answer["pending"] > 0


def test_a_row_that_was_left_out_of_a_finished_migration_is_a_defect(
    databases: Callable[[int], Databases],
    states: Callable[[str], Database],
    types: Types,
    tmp_path: Path,
) -> None:
    with databases(default_major()).copy(states("moved")) as database:
        (tmp_path / f".env.{ENV}").write_text(f"DATABASE_URL={database.url}\n", "utf-8")
        with database.admin() as connection:
            connection.execute("set session_replication_role = replica")
            connection.execute(
                "insert into public.electricity_readings (user_id, date, kwh_value)"
                " select p.id, '2026-03-01', 7 from public.user_profiles as p limit 1"
            )
        code, out, _ = types("validate", ENV, "--no-drift")

        assert code == EXIT_FINDINGS
        assert "neither migrated nor rejected" in out
        assert "next: this is a defect" in out
