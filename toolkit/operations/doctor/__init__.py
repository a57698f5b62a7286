"""Recognises known troubles of a rolled-out database, says the exact repair, applies safe ones."""

from toolkit.operations.doctor.model import (
    Check,
    Diagnosis,
    Extent,
    Outcome,
    Question,
    State,
    Treatment,
    Trouble,
)
from toolkit.operations.doctor.run import diagnose, treat

__all__ = [
    "Check",
    "Diagnosis",
    "Extent",
    "Outcome",
    "Question",
    "State",
    "Treatment",
    "Trouble",
    "diagnose",
    "treat",
]
