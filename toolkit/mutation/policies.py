"""Mutants of row level security: each policy weakened or gone, each table without it."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from toolkit.isolation.access import Access
from toolkit.mutation.catalog import PUBLIC, Catalog, Policy, Table
from toolkit.mutation.conjuncts import split, without_each
from toolkit.mutation.model import Mutant, MutantKind, raw, role, written

_ADDED = {
    "select": "using (true)",
    "insert": "with check (true)",
    "update": "using (true) with check (true)",
    "delete": "using (true)",
}
_TRUE = ("true",)


def policy_mutants(catalog: Catalog, access: Access) -> Iterator[Mutant]:
    """Of each policy: dropped, always true, for more roles, each condition removed."""
    for policy in catalog.policies:
        rule = access.rules.get(f"{policy.schema_name}.{policy.table_name}")
        if rule is None or not rule.policies:  # where nobody reaches, a policy is nobody's loss
            yield _mutant(
                policy,
                MutantKind.POLICY_DROPPED,
                "policy dropped",
                written("drop policy {} on {}", *_name(policy)),
            )
        yield from _always_true(policy)
        yield from _widened(policy)
        yield from _conditions(policy)


def added_policy_mutants(catalog: Catalog, _: Access) -> Iterator[Mutant]:
    """On each table and for each operation, a policy that lets every signed-in user pass.

    Permissive policies are joined by OR, so one of these outdoes all others.
    """
    for table in catalog.tables:
        for operation, condition in _ADDED.items():
            name = f"{table.schema_name}.{table.table_name}"
            yield Mutant(
                f"policy added: {operation} {condition} on {name} to authenticated",
                MutantKind.POLICY_ADDED,
                name,
                (
                    written(
                        "create policy {} on {} for {} to authenticated {}",
                        sql.Identifier("Mutant"),
                        _table(table),
                        raw(operation),
                        raw(condition),
                    ),
                ),
            )


def rls_mutants(catalog: Catalog, _: Access) -> Iterator[Mutant]:
    """Row level security switched off, table by table."""
    for table in catalog.tables:
        if table.has_rls:
            name = f"{table.schema_name}.{table.table_name}"
            yield Mutant(
                f"row level security disabled: {name}",
                MutantKind.RLS_OFF,
                name,
                (written("alter table {} disable row level security", _table(table)),),
            )


def _always_true(policy: Policy) -> Iterator[Mutant]:
    if policy.using_text is not None and split(policy.using_text) != _TRUE:
        yield _altered(policy, MutantKind.POLICY_TRUE, "policy using (true)", "using", "true")
    # Where an update or a policy for all names no check, its condition for rows checks new ones.
    named = policy.check_text is not None and split(policy.check_text) != _TRUE
    if named or (policy.check_text is None and policy.command in ("w", "*")):
        yield _altered(
            policy, MutantKind.POLICY_TRUE, "policy with check (true)", "with check", "true"
        )


def _widened(policy: Policy) -> Iterator[Mutant]:
    if PUBLIC in policy.role_names:
        return
    kept = [*policy.role_names]
    for label, roles in (("PUBLIC", [PUBLIC]), ("anon", [*kept, "anon"])):
        if roles[-1] in kept:
            continue
        yield _mutant(
            policy,
            MutantKind.POLICY_WIDENED,
            f"policy also to {label}",
            written(
                "alter policy {} on {} to {}", *_name(policy), sql.SQL(", ").join(map(role, roles))
            ),
        )


def _conditions(policy: Policy) -> Iterator[Mutant]:
    for word, condition in (("using", policy.using_text), ("with check", policy.check_text)):
        if condition is None or len(split(condition)) == 1:
            continue
        for removed, rest in without_each(condition):
            yield _altered(
                policy,
                MutantKind.POLICY_CONJUNCT,
                f"policy {word} without {removed}",
                word,
                rest,
            )


def _altered(policy: Policy, kind: MutantKind, what: str, word: str, condition: str) -> Mutant:
    statement = written("alter policy {} on {} {} ({})", *_name(policy), raw(word), raw(condition))
    return _mutant(policy, kind, what, statement)


def _mutant(policy: Policy, kind: MutantKind, what: str, statement: str) -> Mutant:
    table = f"{policy.schema_name}.{policy.table_name}"
    return Mutant(f'{what}: "{policy.policy_name}" on {table}', kind, table, (statement,))


def _name(policy: Policy) -> tuple[sql.Identifier, sql.Identifier]:
    return (
        sql.Identifier(policy.policy_name),
        sql.Identifier(policy.schema_name, policy.table_name),
    )


def _table(table: Table) -> sql.Identifier:
    return sql.Identifier(table.schema_name, table.table_name)
