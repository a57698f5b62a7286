"""What a backup stands on and does not bring: roles, and Supabase's schema auth."""

from __future__ import annotations

import re

import psycopg
from psycopg.rows import TupleRow

from toolkit.errors import UsageError
from toolkit.operations.backup.facts import Facts
from toolkit.resources import statement

Connection = psycopg.Connection[TupleRow]
_POLICY_ROLES = re.compile(r"\w+, for \w+ to (?P<roles>.*?), using \(")
_AUTH_FUNCTION = re.compile(r"(?<!REFERENCES )\bauth\.(?P<name>\w+)\(")
_DEFAULT_PRIVILEGES = "default privileges of "
_EVERYBODY = "public"
# Those that make a database one of Supabase's.
_SUPABASE_ROLES = frozenset({"postgres", "anon", "authenticated", "service_role"})
_ROLE = "role "


def require_footing(connection: Connection, facts: Facts) -> None:
    """The target must have what the backup stands on; nothing is changed.

    Raises:
        UsageError: it lacks something; the details name it.
    """
    lacking = [
        str(name)
        for (name,) in connection.execute(
            statement("backup_lacks"),
            {
                "roles": sorted(roles_of(facts)),
                "users": facts.users is not None,
                "functions": sorted(auth_functions_of(facts)),
            },
        )
    ]
    if not lacking:
        return
    roles = {name.removeprefix(_ROLE) for name in lacking if name.startswith(_ROLE)}
    if len(roles) == len(lacking) and not roles & _SUPABASE_ROLES:
        raise UsageError(
            f"the target lacks roles of the backup: {', '.join(sorted(roles))}",
            next_step="create them in the target (create role … nologin will do), and run it again",
        )
    raise UsageError(
        f"the target is no database of Supabase's shape: it lacks {lacking[0]}"
        + (f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""),
        next_step="create a Supabase project first and restore into its database; or on this "
        "machine: meterledger local start, then --into local",
        details=tuple(lacking),
    )


def roles_of(facts: Facts) -> frozenset[str]:
    """The roles that grants, owners and policies name.

    Default privileges of a role that owns nothing are left out: they are the platform's own.
    """
    owners = {fact.definition for fact in facts.owners}
    named = set(owners)
    for fact in facts.grants:
        whose = fact.relation.removeprefix(_DEFAULT_PRIVILEGES)
        if whose == fact.relation or whose in owners:
            named.add(fact.name.rpartition(" to ")[2])
    for fact in facts.policies:
        found = _POLICY_ROLES.match(fact.definition)
        if found is not None:
            named.update(found["roles"].split(", "))
    return frozenset(named - {_EVERYBODY})


def auth_functions_of(facts: Facts) -> frozenset[str]:
    """The functions of schema auth that policies, defaults, views and constraints call."""
    texts = [fact.definition for fact in (*facts.policies, *facts.objects)]
    return frozenset(found["name"] for text in texts for found in _AUTH_FUNCTION.finditer(text))
