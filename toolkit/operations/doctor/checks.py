"""The checks in the order of their repairs: what others stand on comes first."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from toolkit.isolation.catalog import as_it_stands
from toolkit.isolation.declaration import load_access
from toolkit.operations.doctor.files import look_at_deployments, look_at_files
from toolkit.operations.doctor.history import found_tables, look_at_history
from toolkit.operations.doctor.model import Check, Look, Question, Trouble
from toolkit.operations.drift.scope import scope
from toolkit.resources import statement

_API_ROLES = ("anon", "authenticated", "service_role")
_NOTHING = ("no", "none")
_NAMED = 100  # users in a repair; more are all of them


def _by_sql(name: str) -> Look:
    """A check that is one statement, which returns (finding, repair, safe)."""

    def look(connection: psycopg.Connection[TupleRow], _: Question) -> Iterator[Trouble]:
        for finding, repair, safe in connection.execute(statement(f"doctor_{name}")).fetchall():
            yield Trouble(name, finding, repair, bool(safe))

    return look


def _look_at_locks(
    connection: psycopg.Connection[TupleRow], question: Question
) -> Iterator[Trouble]:
    rows = connection.execute(
        statement("doctor_locks"), {"idle_seconds": question.idle_seconds}
    ).fetchall()
    for finding, repair, safe in rows:
        yield Trouble("locks", finding, repair, bool(safe))


def _look_at_projection(connection: psycopg.Connection[TupleRow], _: Question) -> Iterator[Trouble]:
    """As validate does, for everybody; the repair recomputes the users who are named."""
    body = sql.SQL(statement("check_projection_is_live").decode() + "\n")
    rows = connection.execute(
        sql.SQL(
            "select f.user_id, count(*) from ({}) as f group by f.user_id order by f.user_id"
        ).format(body),
        {"users": None},
    ).fetchall()
    if not rows:
        return
    users = [user for user, _ in rows]
    of_them = sql.SQL("{}::uuid[]").format(users) if len(users) <= _NAMED else sql.SQL("")
    repair = sql.SQL("select ledger.project_everything({});").format(of_them)
    yield Trouble(
        "projection",
        f"the projection differs from the events in {sum(n for _, n in rows)} rows of "
        f"{len(users)} users",
        repair.as_string(connection),
        safe=True,
    )


def _look_at_grants(connection: psycopg.Connection[TupleRow], _: Question) -> Iterator[Trouble]:
    known = {table: sorted(columns) for table, columns in scope().columns.items()}
    rows = connection.execute(
        statement("doctor_grants"),
        {"declared": Jsonb(_declared(connection)), "known": Jsonb(known)},
    ).fetchall()
    for finding, repair, safe in rows:
        yield Trouble("grants", finding, repair, bool(safe))


def _declared(connection: psycopg.Connection[TupleRow]) -> list[dict[str, object]]:
    """The rights that the shipped declaration of access gives, of what the rollout made."""
    access, found = as_it_stands(connection, load_access()), found_tables(connection)
    roles = {identity.name: identity.role for identity in access.identities}
    rights: dict[tuple[str, str, str], dict[str, object]] = {}
    for rule in access.rules.values():
        if (rule.found and rule.name in found) or rule.name == "public":
            continue
        for privilege, reach in rule.reach.items():
            for who, how in reach.items():
                if how in _NOTHING or roles[who] not in _API_ROLES:
                    continue
                rights[rule.name, privilege, roles[who]] = {
                    "kind": rule.kind,
                    "object": rule.name,
                    "privilege": privilege,
                    "role_name": roles[who],
                    "columns": list(rule.update_columns or ()) or None
                    if privilege == "update"
                    else None,
                    "except_columns": list(rule.insert_except) or None
                    if privilege == "insert"
                    else None,
                }
    return list(rights.values())


CHECKS = (
    Check("history", "phases that the history and the objects do not agree on", look_at_history),
    Check("deployments", "deploys that were begun and never ended", look_at_deployments),
    Check("files", "phase files that changed after they were applied", look_at_files),
    Check("indexes", "indexes that a cut-off build left invalid", _by_sql("indexes")),
    Check("owners", "objects that another role owns", _by_sql("owners")),
    Check(
        "row_level_security",
        "tables without row level security",
        _by_sql("row_level_security"),
    ),
    Check("triggers", "triggers that are switched off", _by_sql("triggers")),
    Check("grants", "rights that were lost", _look_at_grants),
    Check(
        "materialized_view",
        "a materialized view that cannot be refreshed or read",
        _by_sql("materialized_view"),
    ),
    Check("maintenance", "leftovers of maintenance", _by_sql("maintenance")),
    Check("runs", "migration runs without a runner", _by_sql("runs")),
    Check("projection", "a projection that differs from the events", _look_at_projection),
    Check("locks", "locks whose holder is idle or gone", _look_at_locks),
    Check("prepared", "prepared transactions that hold locks", _by_sql("prepared")),
    Check("replication", "replication that nobody reads", _by_sql("replication")),
)
