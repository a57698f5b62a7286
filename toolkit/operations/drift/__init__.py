"""Whether the catalog is what the migrations give: fingerprint, expectation, difference."""

from toolkit.operations.drift.check import drift_check
from toolkit.operations.drift.compare import compare
from toolkit.operations.drift.model import (
    Difference,
    DifferenceKind,
    Fingerprint,
    StartingShape,
)
from toolkit.operations.drift.read import fingerprint, starting_shape
from toolkit.operations.drift.replay import expected_fingerprint

__all__ = [
    "Difference",
    "DifferenceKind",
    "Fingerprint",
    "StartingShape",
    "compare",
    "drift_check",
    "expected_fingerprint",
    "fingerprint",
    "starting_shape",
]
