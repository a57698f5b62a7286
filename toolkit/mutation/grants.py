"""Mutants of rights: each grant that is not there, each default, each role widened."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from toolkit.isolation.access import NO, Access, Rule
from toolkit.mutation.catalog import (
    Catalog,
    MissingColumnGrant,
    MissingDefaultGrant,
    MissingGrant,
)
from toolkit.mutation.model import Mutant, MutantKind, raw, role, shown, written

_LATER_CLASSES = {"r": "tables", "S": "sequences", "f": "functions"}
_PLATFORM = "platform"
_CLIENT_ROLES = ("anon", "authenticated", "service_role")


def grant_mutants(catalog: Catalog, _: Access) -> Iterator[Mutant]:
    """Each right on a whole object that a grantee does not hold in any way."""
    for grant in catalog.missing_grants:
        name = _shown_object(grant)
        yield Mutant(
            f"grant added: {grant.privilege} on {name} to {shown(grant.grantee)}",
            MutantKind.GRANT,
            name,
            (
                written(
                    "grant {} on {} {} to {}",
                    raw(grant.privilege),
                    # The word `table` also stands before views.
                    raw(grant.object_class),
                    _object(grant),
                    role(grant.grantee),
                ),
            ),
        )


def column_grant_mutants(catalog: Catalog, access: Access) -> Iterator[Mutant]:
    """Rights on single columns that a grantee holds neither there nor on the relation.

    Every column for anon, authenticated and service_role, of relations that the declaration
    opens to anybody and of materialized views. Elsewhere, and for other grantees, one column a
    relation stands for all: what finds the one finds the others.
    """
    stood_for: set[tuple[str, str, str, str]] = set()
    for grant in catalog.missing_column_grants:
        relation = f"{grant.schema_name}.{grant.relation_name}"
        rule = access.rules.get(relation)
        each = grant.grantee in _CLIENT_ROLES and rule is not None and _is_reached(rule)
        place = (grant.schema_name, grant.relation_name, grant.privilege, grant.grantee)
        if each or place not in stood_for:
            stood_for.add(place)
            yield _column_grant(grant, relation)


def default_grant_mutants(catalog: Catalog, access: Access) -> Iterator[Mutant]:
    """Rights on whatever postgres creates later that a grantee does not get by itself.

    Left out is what the declaration leaves to the platform: defaults for the API roles in a
    schema of which it says so.
    """
    for grant in catalog.missing_default_grants:
        what = _LATER_CLASSES[grant.kind]
        decides = access.later.get(grant.schema_name, {}).get(what, NO)
        if decides == _PLATFORM and grant.grantee in _CLIENT_ROLES:
            continue
        yield _default_grant(grant, what)


def membership_mutants(catalog: Catalog, _: Access) -> Iterator[Mutant]:
    """An API role that may also do what another one may, or that no policy binds any more."""
    for pair in catalog.strangers:
        # What the narrower may, the wider may already, or it would be a gain for nobody.
        if (pair.role_name, pair.other_name) in _GAINS:
            yield Mutant(
                f"role granted: {pair.other_name} to {pair.role_name}",
                MutantKind.MEMBERSHIP,
                pair.role_name,
                (
                    written(
                        "grant {} to {}",
                        sql.Identifier(pair.other_name),
                        sql.Identifier(pair.role_name),
                    ),
                ),
            )
    for name in ("anon", "authenticated"):
        yield Mutant(
            f"bypassrls: {name}",
            MutantKind.MEMBERSHIP,
            name,
            (written("alter role {} bypassrls", sql.Identifier(name)),),
        )


_GAINS = {
    ("anon", "authenticated"),
    ("anon", "service_role"),
    ("authenticated", "service_role"),
}


def _column_grant(grant: MissingColumnGrant, relation: str) -> Mutant:
    return Mutant(
        f"column grant added: {grant.privilege} ({grant.column_name}) on {relation} "
        f"to {shown(grant.grantee)}",
        MutantKind.COLUMN_GRANT,
        relation,
        (
            written(
                "grant {} ({}) on table {} to {}",
                raw(grant.privilege),
                sql.Identifier(grant.column_name),
                sql.Identifier(grant.schema_name, grant.relation_name),
                role(grant.grantee),
            ),
        ),
    )


def _default_grant(grant: MissingDefaultGrant, what: str) -> Mutant:
    where = f"in schema {grant.schema_name}" if grant.schema_name else "in every schema"
    schema = (
        written("in schema {} ", sql.Identifier(grant.schema_name)) if grant.schema_name else ""
    )
    return Mutant(
        f"default grant added: {grant.privilege} on {what} {where} to {shown(grant.grantee)}",
        MutantKind.DEFAULT_GRANT,
        grant.schema_name or "postgres",
        (
            written(
                "alter default privileges for role postgres {}grant {} on {} to {}",
                raw(schema),
                raw(grant.privilege),
                raw(what),
                role(grant.grantee),
            ),
        ),
    )


def _is_reached(rule: Rule) -> bool:
    """Whether anybody reaches anything of it; a materialized view holds what nobody may."""
    if rule.kind == "materialized view":
        return True
    return any(reach != NO for how in rule.reach.values() for reach in how.values())


def _shown_object(grant: MissingGrant) -> str:
    if grant.object_class == "database":
        return "the database"  # whose name differs from run to run
    if grant.object_class in ("function", "schema"):
        return grant.object_name
    return f"{grant.schema_name}.{grant.object_name}"


def _object(grant: MissingGrant) -> sql.Composable:
    if grant.object_class == "function":
        return raw(grant.object_name)
    if grant.object_class in ("schema", "database"):
        return sql.Identifier(grant.object_name)
    return sql.Identifier(grant.schema_name, grant.object_name)
