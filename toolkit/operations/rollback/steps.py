"""Which phases a rollback takes back, and in which order: pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from toolkit.errors import UsageError
from toolkit.rollout.phases import DATA_PHASE, Phase

__all__ = ["DATA", "DATA_PHASE", "NOTHING", "Step", "find_target", "steps_to"]

DATA = "data"
NOTHING = "nothing"


@dataclass(frozen=True)
class Step:
    """One transaction of a rollback.

    Attributes:
        phase: whose file in rollbacks/ is run.
    """

    phase: Phase

    @property
    def is_data(self) -> bool:
        """It takes the data migration back, and leaves the schema alone."""
        return self.phase.version == DATA_PHASE

    @property
    def title(self) -> str:
        """For people."""
        return "the data migration" if self.is_data else f"phase {self.phase.name}"


def find_target(to: str, known: Sequence[Phase]) -> str:
    """What --to means: 'data', 'nothing', or the version of the phase that stays the last one.

    Raises:
        UsageError: it is none of these; with the names that there are.
    """
    if to in (DATA, NOTHING):
        return to
    for phase in known:
        if to in (phase.version, phase.name, phase.migration.stem):
            return phase.version
    raise UsageError(
        f"there is no phase {to!r} to roll back to",
        next_step=f"say data, nothing, or the last phase that stays: "
        f"{', '.join(phase.name for phase in known)}",
    )


def steps_to(
    target: str, known: Sequence[Phase], applied: Collection[str], *, data_is_there: bool
) -> tuple[Step, ...]:
    """The data first, then the schema, the newest phase first.

    Args:
        target: as find_target() gives it.
        known: all phases, in their order.
        applied: versions in the CLI's history.
        data_is_there: something was migrated, whatever the history says.
    """
    there = set(applied) | ({DATA_PHASE} if data_is_there else set())
    if target == DATA:
        gone = [phase for phase in known if phase.version == DATA_PHASE]
    elif target == NOTHING:
        gone = list(known)
    else:
        gone = [phase for phase in known if phase.version > target]
    gone = [phase for phase in gone if phase.version in there]
    newest_first = sorted(gone, key=lambda phase: phase.version, reverse=True)
    # sorted() is stable: the data leads, the rest keeps its order.
    return tuple(
        Step(phase) for phase in sorted(newest_first, key=lambda p: p.version != DATA_PHASE)
    )
