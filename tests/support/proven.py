"""A small demo database, migrated once a server, and what spoils it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.database import Connection, Database
from tests.support.rollout import apply
from tests.support.servers import Databases, Template
from toolkit.bootstrap import StartingPoint
from toolkit.demo.generator import generate
from toolkit.demo.loading import load
from toolkit.demo.model import Spec
from toolkit.validation.report import Finding, ValidationReport, Verdict

ZONE = "Asia/Jakarta"
SPEC = Spec(seed=3, rows=700, users=30, time_zone=ZONE)
# A reading that the migration made, and an event that no legacy row states.
MIGRATED = (
    "(select l.user_id, l.reading_id as id, l.event_id from ledger.migrated_readings as l"
    " inner join ledger.readings as r on r.user_id = l.user_id and r.id = l.reading_id"
    " where not l.superseded and not l.completed and r.kwh_value < 1000"
    " order by l.user_id, l.reading_id limit 1)"
)
EVENT_ONLY = (
    "(select e.user_id, coalesce(e.reading_id, e.id) as id from public.token_events as e"
    " where not e.is_voided and e.event_type = 'TOPUP' and e.observed_kwh is null"
    ' and e.metadata is distinct from \'{"migrated_from": "electricity_readings"}\''
    " order by 1, 2 limit 1)"
)
_made: dict[Databases, Database] = {}


@dataclass(frozen=True)
class Fault:
    """What is planted, as the superuser without triggers, and who must see it.

    Attributes:
        plant: statements; `{migrated}` and `{event_only}` stand for a row to spoil. The last
            one may return that row's id, or its user's.
        sees: what each check that is for it says, a regular expression.
        only: no other check has a reason to see it; any, where it is left out.
        undo: statements that mend it; none, where a database is not to be had back.
    """

    plant: str
    sees: Mapping[str, str]
    only: Collection[str] = ()
    undo: str = ""

    def happens(self, connection: Connection) -> str | None:
        """Plant it, as supabase_admin; the id that the last statement returned."""
        statements = self.plant.format(migrated=MIGRATED, event_only=EVENT_ONLY)
        connection.execute("set session_replication_role = replica")
        cursor = connection.execute(statements.encode())
        while cursor.nextset():
            pass
        connection.execute("set session_replication_role = origin")
        if cursor.description is None:
            return None
        row = cursor.fetchone()
        assert row is not None, "nothing was spoilt"
        return str(row[0])

    def is_seen(self, report: ValidationReport, spoilt: str | None) -> None:
        """Hold a validation against what it must say; it names the spoilt row or its user."""
        assert not report.valid
        red = {check.name: check for check in report.checks if check.verdict is Verdict.FAIL}
        assert set(red) >= set(self.sees)
        assert set(red) <= set(self.only or red)
        assert report.differences == sum(check.count for check in red.values())
        assert all(check.next_step for check in red.values())
        named = set()
        for check, words in self.sees.items():
            said = [found for found in red[check].findings if re.search(words, found.text)]
            assert said, red[check].findings
            named |= _ids(said)
        assert spoilt is None or spoilt in named


def proven(databases: Databases) -> Database:
    """A migrated database with every hard case in it, made once a server; leave it as it is."""
    if databases not in _made:
        database = databases.make(Template(StartingPoint.DUAL_WRITE))
        with database.admin() as connection:
            load(connection, generate(SPEC))
        apply(database, time_zone=ZONE)
        _made[databases] = database
    return _made[databases]


@contextmanager
def proven_copy(databases: Databases) -> Iterator[Database]:
    """A copy of the proven database, to spoil."""
    with databases.copy(proven(databases)) as copy:
        yield copy


def _ids(findings: list[Finding]) -> set[str | None]:
    return {id_ for found in findings for id_ in (found.row_id, found.user_id)}
