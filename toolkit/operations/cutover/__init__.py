"""The switch of electricity_readings from table to view, back, and the end of the archive."""

from toolkit.operations.cutover.back import plan_cutback, run_cutback
from toolkit.operations.cutover.contract import plan_contract, run_contract
from toolkit.operations.cutover.contract_report import ContractPlan, ContractReport
from toolkit.operations.cutover.over import plan_cutover, require_ready, run_cutover
from toolkit.operations.cutover.report import (
    CutbackPlan,
    CutbackReport,
    CutoverPlan,
    CutoverReport,
    Finding,
    Verdict,
)

__all__ = [
    "ContractPlan",
    "ContractReport",
    "CutbackPlan",
    "CutbackReport",
    "CutoverPlan",
    "CutoverReport",
    "Finding",
    "Verdict",
    "plan_contract",
    "plan_cutback",
    "plan_cutover",
    "require_ready",
    "run_contract",
    "run_cutback",
    "run_cutover",
]
