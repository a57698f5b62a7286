"""From a dual-write staging and production to promoted and back, with a writer all the time."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.acceptance.operator import Answer, Operator
from tests.support.apps import ZONE, two_apps
from tests.support.database import Connection, Database
from tests.support.servers import Databases, default_major
from toolkit.connection import connect
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, EXIT_USAGE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
KEY = "0123456789abcdef" * 4


@dataclass
class Writer:
    """A client in the field that writes readings without a pause, and keeps what was accepted."""

    database: Database
    user: UUID
    accepted: set[UUID] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def write(self) -> None:
        with connect(self.database.url, autocommit=True) as connection:
            number = 0
            while not self._stop.wait(0.02):
                number += 1
                id_ = uuid4()
                try:
                    connection.execute(
                        "insert into public.electricity_readings (id, user_id, date, kwh_value)"
                        " values (%s, %s, date '2026-01-01' + %s, 10)",
                        (id_, self.user, number),
                    )
                except psycopg.Error as error:
                    self.failed.append(f"{error.sqlstate} {error}")
                else:
                    self.accepted.add(id_)

    def __enter__(self) -> Writer:
        self._thread = threading.Thread(target=self.write)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture(scope="module")
def apps(
    databases: Callable[[int], Databases], operator: Operator
) -> Iterator[tuple[Database, Database]]:
    """A dual-write staging and production, with households in them, and their .env files."""
    with two_apps(databases(default_major())) as made:
        for name, database in made.items():
            (operator.folder / f".env.{name}").write_text(
                f"DATABASE_URL={database.url}\nMETERLEDGER_RECEIPT_KEY={KEY}\n"
                f"METERLEDGER_TIME_ZONE={ZONE}\n"
            )
            (operator.folder / f".env.{name}").chmod(0o600)
        yield made["staging"], made["production"]


def shown(answer: Answer) -> str:
    return f"{answer.code}\n{answer.out}\n{answer.err}"


def ids(connection: Connection, relation: str, user: UUID) -> set[UUID]:
    rows = connection.execute(f"select id from {relation} where user_id = %s", (user,))  # noqa: S608 - a literal of this file
    return {id_ for (id_,) in rows}


def test_production_is_refused_without_staging(
    operator: Operator, apps: tuple[Database, Database]
) -> None:
    answer = operator.types("promote", "staging", "production", "--confirm", "production")

    assert answer.code == EXIT_FINDINGS, shown(answer)
    assert "no receipt of a proven rollout" in answer.err
    assert apps[1].value("select to_regclass('ledger.settings')") is None


def test_from_nothing_to_promoted_and_back(
    operator: Operator, apps: tuple[Database, Database]
) -> None:
    staging, production = apps
    answer = operator.types("rollout", "staging", "--yes", "--json")
    told = json.loads(answer.out)
    assert answer.code == EXIT_OK, shown(answer)
    assert [step["name"] for step in told["steps"]] == [
        *("preflight", "backup", "deploy", "backfill", "validate", "isolation")
    ]
    assert Path(told["receipt"]).is_file()

    refused = operator.types("promote", "staging", "production", "--yes")
    assert refused.code == EXIT_USAGE, shown(refused)  # its name must be typed

    plan = operator.types("promote", "staging", "production", "--plan")
    assert plan.code == EXIT_OK, shown(plan)
    assert "preflight → backup → deploy → backfill → validate → isolation" in plan.out

    with Writer(production, production.add_user()) as writer:
        answer = operator.types(
            *("promote", "staging", "production", "--confirm", "production", "--json")
        )
        assert answer.code == EXIT_OK, shown(answer)
        status = operator.types("status", "production", "--json")
        assert status.code == EXIT_OK, shown(status)
        back = operator.types(
            *("rollback", "production", "--to", "data", "--confirm", "production")
        )
        assert back.code == EXIT_OK, shown(back)

    assert writer.failed == []
    assert len(writer.accepted) > 100
    with production.connect() as connection:
        assert ids(connection, "public.electricity_readings", writer.user) == writer.accepted
    assert KEY not in answer.out + answer.err + status.out
    with staging.connect() as connection:
        recorded = connection.execute("select environment from ledger.settings").fetchone()
    assert recorded == ("staging",)


def test_what_was_rolled_back_can_be_rolled_out_again(
    operator: Operator, apps: tuple[Database, Database]
) -> None:
    answer = operator.types(
        *("promote", "staging", "production", "--confirm", "production", "--from", "deploy")
    )

    assert answer.code == EXIT_OK, shown(answer)
    lost = apps[1].value(
        "select count(*) from public.electricity_readings as l where not exists"
        " (select from public.electricity_readings_v as v"
        " where v.user_id = l.user_id and v.id = l.id) and not exists"
        " (select from ledger.migration_rejects as r where r.reading_id = l.id)"
    )
    assert lost == 0


def test_a_command_aimed_at_the_wrong_database_stops(
    operator: Operator, apps: tuple[Database, Database]
) -> None:
    (operator.folder / ".env.elsewhere").write_text(
        f"DATABASE_URL={apps[1].url}\nMETERLEDGER_RECEIPT_KEY={KEY}\n"
    )
    answer = operator.types("rollout", "elsewhere", "--yes")

    assert answer.code == EXIT_USAGE, shown(answer)
    assert "production" in answer.err
