"""meterledger rehearse, typed by an operator who has a dump of a database of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.acceptance.operator import Answer, Operator
from tests.support.database import Database
from tests.support.dumps import CUSTOM, Way, dump_tools, make_dump
from tests.support.household import put_events, put_readings
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, EXIT_OPERATIONAL, EXIT_USAGE
from toolkit.local.binaries import Binaries

JAKARTA = ("--time-zone", "Asia/Jakarta")
PLAIN_GZIPPED = Way("plain-gzip", gzipped=True)
STEPS = ["start", "restore", "migrate", "validate", "isolation", "insert"]


@pytest.fixture(scope="module")
def tools() -> Binaries:
    """pg_dump."""
    return dump_tools()


def family(database: Database, number: int) -> UUID:
    """One user with six readings, five events and everything that makes a rollout hard."""
    user = database.add_user(f"family{number}@example.test")

    def id_(name: int) -> str:
        return str(UUID(int=number << 64 | name))

    def reading(name: int, day: str, kwh: str, **rest: str) -> dict[str, object]:
        return {"id": id_(name), "user_id": user, "date": day, "kwh_value": kwh, **rest}

    def event(name: int, kind: str, at: str, kwh: str, **rest: str) -> dict[str, object]:
        return {
            "id": id_(name),
            "user_id": user,
            "event_type": kind,
            "event_date": at,
            "kwh_amount": kwh,
            "created_at": at,
            **rest,
        }

    with database.connect() as connection:
        put_readings(
            connection,
            [
                reading(1, "2025-12-31", "81.50", notes="Selamat tahun baru \U0001f386"),
                reading(2, "2026-01-02", "12.25"),
                reading(3, "2026-01-02", "62.25", token_amount="50", token_cost="72235"),
                reading(4, "2026-01-05", "40.00", notes='it\'s "quoted"\nand broken'),
                reading(5, "2026-01-06", "39.00", token_cost="NaN"),
                reading(6, "2026-01-09", "20.10", created_at="2026-01-09 23:30+07"),
            ],
        )
        put_events(
            connection,
            [
                event(11, "METER_READING", "2025-12-31 08:00+07", "81.50"),
                event(12, "TOPUP", "2026-01-02 19:00+07", "50", token_cost="72235"),
                event(13, "METER_READING", "2026-01-05 07:00+07", "40.10"),
                event(6, "METER_READING", "2026-01-09 00:10+07", "20.10"),
                event(14, "ADJUSTMENT", "2026-01-10 08:00+07", "-1.5"),
            ],
        )
    return user


@pytest.fixture
def app(make_database: MakeDatabase) -> Database:
    """A deployed dual-write app with three families."""
    database = make_database(StartingPoint.DUAL_WRITE)
    for number in range(1, 4):
        family(database, number)
    return database


@pytest.fixture
def folder(operator: Operator) -> Iterator[Path]:
    """For dumps."""
    path = operator.folder / "dumps"
    path.mkdir(exist_ok=True)
    yield path
    for dump in path.iterdir():
        dump.unlink()


def is_clean(answer: dict[str, Any]) -> bool:
    """What three families must become."""
    assert answer["legacy_rows"] == 18
    assert (answer["migrated"], answer["rejected"], answer["merged"]) == (15, 3, 6)
    assert (answer["event_only"], answer["near_matches"]) == (6, 3)
    assert (answer["differences"], answer["isolation_violations"]) == (0, 0)
    assert list(answer["seconds"]) == STEPS
    assert answer["restored"]["rows"]["public.electricity_readings"] == 18
    return answer["valid"] is True and answer["clean"] is True


def test_a_custom_dump_is_rehearsed_and_kept(
    operator: Operator, app: Database, tools: Binaries, folder: Path
) -> None:
    dump = make_dump(app, tools, folder, CUSTOM)

    answer = operator.types("rehearse", dump, *JAKARTA, "--keep", "--json")

    assert answer.code == EXIT_OK, answer.err
    told = json.loads(answer.out)
    assert is_clean(told)
    assert told["url"].startswith("postgresql://postgres:")
    assert told["restored"]["format"] == "custom"
    kept = operator.types("validate", "--database-url", told["url"], "--json")
    assert json.loads(kept.out)["valid"] is True
    shown = operator.types(
        *("local", "psql", "--database", "rehearsal", "-tAc"),
        "select notes from public.electricity_readings_v where notes is not null"
        " and date = '2025-12-31' limit 1",
    )
    assert shown.out.strip() == "Selamat tahun baru \U0001f386"


def test_a_plain_gzipped_dump_of_public_alone_is_reported_for_people(
    operator: Operator, app: Database, tools: Binaries, folder: Path
) -> None:
    dump = make_dump(app, tools, folder, PLAIN_GZIPPED, "--schema=public")

    answer = operator.types("rehearse", dump, *JAKARTA)

    assert answer.code == EXIT_OK, answer.err
    assert "\x1b" not in answer.out + answer.err
    assert "legacy rows that cannot become an event: 3" in answer.out
    assert "token_cost out of range" in answer.out
    assert "METER_READING of 40.10 kWh on 2026-01-05, beside reading" in answer.out
    assert "restored from a plain dump of PostgreSQL 17" in answer.out
    assert answer.out.rstrip().endswith("the rollout would be clean")
    assert "restore …" in answer.err


def refused(answer: Answer, code: int) -> str:
    """The one error; its next step is there too."""
    assert (answer.code, answer.out) == (code, ""), answer.err
    starts = [line.partition(": ")[0] for line in answer.err.splitlines()]
    assert starts[-2:] == ["error", "next"]
    assert starts.count("error") == starts.count("next") == 1
    return "\n".join(answer.err.splitlines()[-2:])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "update public.token_events set kwh_amount = 'NaN' where event_type = 'TOPUP'",
            r"events that cannot be true: .*TOPUP [0-]+2-0000-0{10}0c \(kwh_amount",
        ),
        (
            "alter table public.token_events drop column is_voided cascade",
            "is_voided",
        ),
    ],
    ids=["an amount that is no number", "an unknown shape"],
)
def test_a_rollout_that_would_stop_is_one_finding(
    operator: Operator, app: Database, tools: Binaries, folder: Path, change: str, words: str
) -> None:
    app.rows(change)
    dump = make_dump(app, tools, folder, CUSTOM)

    error = refused(operator.types("rehearse", dump, *JAKARTA, "--json"), EXIT_FINDINGS)

    assert error.startswith("error: the rollout would stop: phase 2026110100")
    assert re.search(words, error)


def test_an_app_that_leaks_is_reported_and_not_clean(
    operator: Operator, app: Database, tools: Binaries, folder: Path
) -> None:
    app.rows(
        "create policy everybody on public.electricity_readings for select to authenticated"
        " using (true)"
    )
    dump = make_dump(app, tools, folder, CUSTOM)

    answer = operator.types("rehearse", dump, *JAKARTA, "--json")
    told = json.loads(answer.out)

    assert answer.code == EXIT_FINDINGS
    assert (told["clean"], told["valid"]) == (False, True)
    leaks = re.findall(
        r"^  fail user may do what must be denied: select public\.electricity_readings: "
        r"another user's rows .*$",
        answer.err,
        re.M,
    )
    assert 2 <= len(leaks) <= told["isolation_violations"]


def test_a_truncated_dump_is_one_error(
    operator: Operator, app: Database, tools: Binaries, folder: Path
) -> None:
    dump = make_dump(app, tools, folder, CUSTOM)
    dump.write_bytes(dump.read_bytes()[: dump.stat().st_size * 2 // 3])

    assert "truncated" in refused(operator.types("rehearse", dump), EXIT_OPERATIONAL)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.dump"], "'none.dump' does not exist"),
        ([], "Missing argument"),
        ([".", "--time-zone", "Jakarta"], "error: there is no time zone 'Jakarta'"),
        ([".", "--time-zone", ""], "error: there is no time zone ''"),
    ],
)
def test_a_typing_error_is_told_before_anything_is_restored(
    operator: Operator, words: list[str], message: str
) -> None:
    answer = operator.types("rehearse", *words)

    assert (answer.code, answer.out) == (EXIT_USAGE, "")
    assert message in answer.err
    assert "start …" not in answer.err


def test_ctrl_c_leaves_nothing(
    operator: Operator, app: Database, tools: Binaries, folder: Path
) -> None:
    dump = make_dump(app, tools, folder, CUSTOM)
    before = operator.processes()

    answer = operator.interrupts("restore", "rehearse", str(dump), group=True)

    assert answer.code == 130
    assert answer.err.splitlines()[-1] == "interrupted"
    assert operator.leftovers() == []
    assert set(operator.processes()) <= set(before)
