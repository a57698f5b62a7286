"""Reads the catalog: what must be so for the probes' answers to hold tomorrow too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from toolkit.isolation.access import ALL, ONCE, OWN, Access, Rule
from toolkit.isolation.bodies import changed_bodies
from toolkit.isolation.catalog import Catalog
from toolkit.isolation.report import Finding, Kind, Section
from toolkit.resources import statement

LINTS = (
    "row_level_security",
    "policies",
    "grants",
    "default_privileges",
    "owners",
    "roles",
    "views",
    "functions",
    "keys",
    "policy_indexes",
    "guards",
    "triggers",
    "schemas",
    "strangers",
    "settings",
    "platform",
)
_RIGHTS = (OWN, ONCE, ALL)
_API_ROLES = ("anon", "authenticated")


def run_lints(
    connection: psycopg.Connection[TupleRow], access: Access, catalog: Catalog, owner: str
) -> tuple[Finding, ...]:
    """Run every lint, with an empty search_path.

    Args:
        connection: as the owner.
        access: the declaration, without the rules whose object is gone.
        catalog: what there is.
        owner: the role that everything must belong to.
    """
    declared = [_declared(access, catalog, rule) for rule in access.rules.values()]
    parameters = {
        "declared": Jsonb(declared),
        "exposed": list(access.exposed),
        "proven": list(access.proven),
        "platform": list(access.platform),
        "roles": list(_API_ROLES),
        "owner": owner,
    }
    found = [
        (name, *row)
        for name in LINTS
        for row in connection.execute(statement(f"lint_{name}"), parameters)
    ]
    found += [("bodies", *row) for row in changed_bodies(connection, access)]
    return tuple(
        Finding(
            section=Section.LINTS,
            kind=Kind.UNNAMED if name in ("grants", "triggers") else Kind.WEAK,
            subject=subject,
            text=text,
            operation=name,
            next_step=next_step,
        )
        for name, subject, text, next_step in found
    )


def _declared(access: Access, catalog: Catalog, rule: Rule) -> Mapping[str, object]:
    return {
        "name": rule.name,
        "kind": rule.kind,
        "owner": rule.owner,
        "found": rule.found,
        "operations": [
            operation
            for operation in rule.reach
            if any(
                access.reach(rule, operation, identity) in (OWN, ONCE)
                for identity in access.identities
            )
        ],
        "open_operations": [
            operation
            for operation in rule.reach
            if any(
                access.reach(rule, operation, identity) == ALL
                for identity in access.identities
                if identity.role in _API_ROLES
            )
        ],
        "conditions": list(rule.conditions),
        "reads": list(rule.reads),
        "rights": list(_rights(access, catalog, rule)),
        "definer": rule.definer,
        "volatility": rule.volatility,
        "search_path": rule.search_path,
        "owner_rights": rule.owner_rights,
        "keys": rule.keys,
        "policies": rule.policies,
        "guards": dict(rule.guards),
    }


def _rights(access: Access, catalog: Catalog, rule: Rule) -> Iterator[dict[str, str | None]]:
    """What each role must hold for what its identities may do, and no more."""
    for operation in rule.reach:
        roles = {
            identity.role
            for identity in access.identities
            if access.reach(rule, operation, identity) in _RIGHTS
        }
        for role in sorted(roles):
            for column in _columns(catalog, rule, operation):
                yield {"role_name": role, "privilege": operation, "column_name": column}


def _columns(catalog: Catalog, rule: Rule, operation: str) -> tuple[str | None, ...]:
    """The columns that a right is given on; None: on the whole object."""
    if operation == "insert" and rule.insert_except:
        columns = catalog.columns.get(rule.name, ())
        return tuple(column for column in columns if column not in rule.insert_except)
    if operation == "update" and rule.update_columns is not None:
        return rule.update_columns
    return (None,)
