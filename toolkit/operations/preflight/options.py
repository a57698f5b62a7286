"""What an operator tells the checklist beside the database's URL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from toolkit.errors import UsageError

# What a person may vouch for, and what is meant by it.
ACKNOWLEDGEMENTS = {
    "upsert": "no client upserts (on conflict (id), PUT) electricity_readings or token_events",
    "dependents": "what depends on electricity_readings is taken care of before the cutover",
    "disk": "there is the room that the rollout needs",
}
PATIENCE_SECONDS = 60

# Raises a MeterledgerError unless the receipt in this file is genuine.
VerifyReceipt = Callable[[Path], object]


@dataclass(frozen=True)
class Options:
    """How one database is checked.

    Attributes:
        environment: its name.
        protected: what only warns elsewhere fails here: no backup, no receipt.
        time_zone: the app's zone, as the operator says; None: what the database has on record.
        backup_folder: where <timestamp>/manifest.json of backups are; None: nowhere.
        receipt: the file of a staging run; None: there is none.
        verify_receipt: checks a receipt's signature; None: it cannot be checked.
        acknowledged: words of ACKNOWLEDGEMENTS.
        patience: seconds that one statement may take.
        now: the clock, UTC.
    """

    environment: str
    protected: bool = False
    time_zone: str | None = None
    backup_folder: Path | None = None
    receipt: Path | None = None
    verify_receipt: VerifyReceipt | None = None
    acknowledged: frozenset[str] = frozenset()
    patience: int = PATIENCE_SECONDS
    now: datetime = field(default_factory=lambda: datetime.now(UTC))


def options(
    environment: str,
    *,
    protected: bool = False,
    time_zone: str | None = None,
    backup_folder: Path | None = None,
    receipt: Path | None = None,
    verify_receipt: VerifyReceipt | None = None,
    acknowledged: Iterable[str] = (),
    patience: int = PATIENCE_SECONDS,
) -> Options:
    """Options whose words are known.

    Raises:
        UsageError: nobody knows what is acknowledged by such a word.
    """
    words = frozenset(acknowledged)
    unknown = sorted(words - set(ACKNOWLEDGEMENTS))
    if unknown:
        raise UsageError(
            f"nothing is acknowledged by {', '.join(map(repr, unknown))}",
            next_step="say "
            + ", or ".join(f"{word} ({text})" for word, text in ACKNOWLEDGEMENTS.items()),
        )
    return Options(
        environment,
        protected=protected,
        time_zone=time_zone,
        backup_folder=backup_folder,
        receipt=receipt,
        verify_receipt=verify_receipt,
        acknowledged=words,
        patience=patience,
    )
