"""What the data migration left for a person: rejected rows and near matches."""

from __future__ import annotations

from toolkit.operations.review.remaining import Remaining, remaining

__all__ = ["Remaining", "remaining"]
