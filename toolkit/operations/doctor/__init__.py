"""Recognises known troubles of a rolled-out database, says the exact repair, applies safe ones."""

from toolkit.operations.doctor.model import (
    ENVIRONMENT,
    Check,
    Diagnosis,
    Outcome,
    Question,
    Treatment,
    Trouble,
)
from toolkit.operations.doctor.run import diagnose, treat

__all__ = [
    "ENVIRONMENT",
    "Check",
    "Diagnosis",
    "Outcome",
    "Question",
    "Treatment",
    "Trouble",
    "diagnose",
    "treat",
]
