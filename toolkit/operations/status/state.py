"""Where a database stands, from what its status says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC

from toolkit.errors import ENVIRONMENT
from toolkit.operations.status.model import ReceiptNote, State, Status
from toolkit.rollout.standing import BACKFILL, DEPLOY, Data

_MINUTE = "%Y-%m-%d %H:%M UTC"


def state_of(status: Status) -> State:
    """The state that the catalog, the runs and the newest receipt add up to."""
    objects = status.objects
    if not objects.ledger:
        return State.NOTHING
    if objects.legacy_kind == "v":
        contracted = status.cutover is not None and status.cutover.contracted_at is not None
        return State.CUTOVER if objects.archive and not contracted else State.CONTRACT
    if not objects.sync:
        return State.EXPAND
    if not status.runs or status.runs[0].kind != "migrate":
        return State.SYNC
    return State.VALIDATED if proof(status) is not None else State.BACKFILL


def proof(status: Status) -> ReceiptNote | None:
    """The newest receipt, if it is green and nothing was moved or deployed after it."""
    run, newest = status.runs[0], next(iter(own_receipts(status)), None)
    if newest is None or not newest.green or run.finished_at is None:
        return None
    if status.pending is not None and status.pending.exact and status.pending.rows:
        return None
    changes = [run.finished_at, *(d.deployed_at for d in status.deployments)]
    return newest if newest.made_at >= max(changes) else None


def own_receipts(status: Status) -> tuple[ReceiptNote, ...]:
    """Those of this environment: production may keep staging's beside its own."""
    return tuple(
        r for r in status.receipts if status.recorded is None or r.environment == status.recorded
    )


def quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of them does not exceed."""
    if not values:
        return None
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def detail_of(status: Status) -> str:
    """The state in a few words."""
    state, receipt = state_of(status), next(iter(own_receipts(status)), None)
    applied = f"{len(status.applied)} of {len(status.applied) + len(status.missing)} phases applied"
    if status.rolled_back_at is not None:
        applied += f"; rolled back on purpose at {status.rolled_back_at.astimezone(UTC):{_MINUTE}}"
    pending = "" if status.pending is None else f"{status.pending} of {status.legacy_rows} pending"
    said = {
        State.NOTHING: "the rollout has not begun",
        State.EXPAND: applied,
        State.SYNC: f"legacy writes become events; {status.data.value}; {pending}",
        State.BACKFILL: f"{status.data.value}; {pending}",
        State.CUTOVER: f"the legacy name is a view{_since(status)}; the table is "
        f"{status.objects.archive}",
        State.CONTRACT: f"the legacy name is a view{_since(status)}; the table's rows are gone",
    }
    if state is State.VALIDATED and receipt is not None:
        return f"proven at {receipt.made_at.astimezone(UTC):{_MINUTE}} (receipt)"
    if state is State.BACKFILL and status.runs and status.runs[0].finished_at is not None:
        return f"{pending}; no green receipt since the last change: validate"
    return said[state]


def _since(status: Status) -> str:
    found = status.cutover
    return "" if found is None else f" since {found.cut_over_at.astimezone(UTC):{_MINUTE}}"


def next_step_of(status: Status) -> str:
    """The command that goes on from there; empty where a person decides."""
    state = state_of(status)
    if state is State.BACKFILL and status.data is Data.MOVED:
        return f"meterledger receipt {ENVIRONMENT}"
    if state is State.EXPAND and not status.missing:  # a trigger is off
        return f"meterledger doctor {ENVIRONMENT}"
    return {
        State.NOTHING: DEPLOY,
        State.EXPAND: DEPLOY,
        State.SYNC: BACKFILL,
        State.BACKFILL: BACKFILL,
        State.VALIDATED: f"meterledger cutover {ENVIRONMENT} --plan",
    }.get(state, "")


def left_of(status: Status) -> str:
    """What a person has yet to decide; before the data was moved, that nobody can know it."""
    known = (status.rejects_open, status.rejects_waived, status.near_matches)
    if not any(known) and state_of(status) in (State.NOTHING, State.EXPAND, State.SYNC):
        return f"rejects and near matches: {Data.WAITS.value}"
    rejects, waived, near = ("not counted" if n is None else f"{n:,}" for n in known)
    return f"rejects left: {rejects} (waived: {waived}); near matches left: {near}"
