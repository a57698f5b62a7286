"""The checklist before a rollout, executed: it reads, and changes nothing."""

from toolkit.operations.preflight.options import ACKNOWLEDGEMENTS, Options, options
from toolkit.operations.preflight.report import CheckItem, PreflightReport, Verdict
from toolkit.operations.preflight.run import preflight

__all__ = [
    "ACKNOWLEDGEMENTS",
    "CheckItem",
    "Options",
    "PreflightReport",
    "Verdict",
    "options",
    "preflight",
]
