"""A sample of the mutants, the same on every machine: the isolation proof finds each of them.

`make mutation` takes all of them.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.editions import ALL, NOTHING, Edition, database_of, edition_name
from tests.support.servers import Databases
from toolkit.bootstrap import StartingPoint
from toolkit.isolation.declaration import load_access
from toolkit.isolation.run import prove_inside
from toolkit.mutation.mutants import mutants
from toolkit.mutation.sample import sample
from toolkit.mutation.score import score

pytestmark = pytest.mark.slow

EDITIONS: list[Edition] = [
    (17, StartingPoint.EMPTY, ALL),
    (17, StartingPoint.DUAL_WRITE, ALL),
    (15, StartingPoint.DUAL_WRITE, NOTHING),
]
MUTANTS = 18
# PostgreSQL 15 lets nobody but a superuser change these.
ONLY_ON_16 = "bypassrls"


@pytest.mark.parametrize("edition", EDITIONS, ids=edition_name)
def test_every_mutant_of_the_sample_is_killed(
    databases: Callable[[int], Databases], edition: Edition
) -> None:
    for database in database_of(databases, edition):
        access = load_access()
        with database.connect(autocommit=True) as owner:
            there = mutants(owner, access)
            chosen = sample(there, count=MUTANTS, seed=EDITIONS.index(edition))
            result = score(owner, access, prove_inside, chosen)

        assert [outcome.mutant.name for outcome in result.survivors] == []
        assert all(ONLY_ON_16 in outcome.mutant.name for outcome in result.inapplicable)
        assert result.killed > MUTANTS - 3
        assert len({mutant.kind for mutant in chosen}) == len({mutant.kind for mutant in there})
