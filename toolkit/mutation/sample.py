"""A sample of mutants that is the same on every machine."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence

from toolkit.errors import UsageError
from toolkit.mutation.model import Mutant, MutantKind


def sample(
    mutants: Sequence[Mutant],
    *,
    count: int | None = None,
    share: float | None = None,
    seed: int = 1,
) -> tuple[Mutant, ...]:
    """Some of the mutants, in their own order, so that every kind is represented.

    The kinds take turns until there are enough: of a small kind all may be taken, before the
    many grants fill the rest. Which ones is decided by a hash of the seed and the name.

    Args:
        mutants: to choose from.
        count: how many; at least one of each kind is taken all the same.
        share: or which part of them, 0 to 1.
        seed: another one chooses others.

    Raises:
        UsageError: neither count nor share is given, or both, or one that means nothing.
    """
    wanted = _wanted(len(mutants), count, share)
    kinds: defaultdict[MutantKind, list[Mutant]] = defaultdict(list)
    for mutant in sorted(mutants, key=lambda mutant: _hash(mutant, seed)):
        kinds[mutant.kind].append(mutant)
    turns = max((len(members) for members in kinds.values()), default=0)
    in_turn = [
        members[turn]
        for turn in range(turns)
        for _, members in sorted(kinds.items())
        if turn < len(members)
    ]
    chosen = {mutant.name for mutant in in_turn[: max(wanted, len(kinds))]}
    return tuple(mutant for mutant in mutants if mutant.name in chosen)


def _wanted(total: int, count: int | None, share: float | None) -> int:
    if count is not None and share is None and count > 0:
        return count
    if share is not None and count is None and 0 < share <= 1:
        return math.ceil(total * share)
    raise UsageError(
        "a sample of mutants needs a count above zero, or a share above 0 and up to 1",
        next_step="give one of the two",
    )


def _hash(mutant: Mutant, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {mutant.name}".encode()).digest()
