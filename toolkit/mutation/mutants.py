"""Everything that weakens one thing of a database, read from its live catalog."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import psycopg
from psycopg.rows import TupleRow

from toolkit.isolation.access import Access
from toolkit.mutation.catalog import Catalog, read_catalog
from toolkit.mutation.functions import definer_mutants, function_filter_mutants, search_path_mutants
from toolkit.mutation.grants import (
    column_grant_mutants,
    default_grant_mutants,
    grant_mutants,
    membership_mutants,
)
from toolkit.mutation.guards import guard_mutants
from toolkit.mutation.keys import foreign_key_mutants, key_mutants
from toolkit.mutation.model import Mutant
from toolkit.mutation.planted import planted_mutants
from toolkit.mutation.policies import added_policy_mutants, policy_mutants, rls_mutants
from toolkit.mutation.views import view_filter_mutants, view_option_mutants

_MAKERS: tuple[Callable[[Catalog, Access], Iterator[Mutant]], ...] = (
    policy_mutants,
    added_policy_mutants,
    rls_mutants,
    grant_mutants,
    column_grant_mutants,
    default_grant_mutants,
    membership_mutants,
    view_option_mutants,
    view_filter_mutants,
    function_filter_mutants,
    search_path_mutants,
    definer_mutants,
    guard_mutants,
    key_mutants,
    foreign_key_mutants,
    planted_mutants,
)


def mutants(connection: psycopg.Connection[TupleRow], access: Access) -> tuple[Mutant, ...]:
    """All mutants of a database, in an order that is the same in every run.

    Left out, since nothing follows from them: filters of views that no API role can read,
    conditions of functions that say nothing of whose row it is, trigger functions run with
    their owner's rights (nobody can call one).

    Args:
        connection: of the role postgres, which owns what is weakened. It is only read here.
        access: the declaration; it names the schemas, the API roles and the guards.
    """
    catalog = read_catalog(connection, access)
    found = tuple(mutant for make in _MAKERS for mutant in make(catalog, access))
    repeated = [name for name, count in Counter(m.name for m in found).items() if count > 1]
    if repeated:
        raise AssertionError(f"mutants of one name: {', '.join(repeated)}")
    return found
