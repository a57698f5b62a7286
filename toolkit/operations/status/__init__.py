"""Where a database stands in the rollout, and how it fares: read, never changed."""

from __future__ import annotations

from toolkit.operations.status.model import State, Status
from toolkit.operations.status.read import read_status
from toolkit.operations.status.state import detail_of, left_of, next_step_of, state_of

__all__ = ["State", "Status", "detail_of", "left_of", "next_step_of", "read_status", "state_of"]
