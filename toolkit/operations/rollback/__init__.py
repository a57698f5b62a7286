"""Taking the rollout back, phase by phase, without losing what exists nowhere else."""

from toolkit.operations.rollback.report import (
    Fate,
    Holding,
    Obstacle,
    RollbackPlan,
    RollbackReport,
)
from toolkit.operations.rollback.run import plan_rollback, require_allowed, run_rollback

__all__ = [
    "Fate",
    "Holding",
    "Obstacle",
    "RollbackPlan",
    "RollbackReport",
    "plan_rollback",
    "require_allowed",
    "run_rollback",
]
