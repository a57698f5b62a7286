"""The push guard around `supabase db push`: locked, checked, verified, recorded, continued."""

from toolkit.operations.deploy.lock import Holder, holder
from toolkit.operations.deploy.options import AppliedFile, DeployOptions, DeployReport, Observer
from toolkit.operations.deploy.plan import DeployPlan, PlannedFile, Status, make_plan
from toolkit.operations.deploy.run import plan_deploy, run_deploy

__all__ = [
    "AppliedFile",
    "DeployOptions",
    "DeployPlan",
    "DeployReport",
    "Holder",
    "Observer",
    "PlannedFile",
    "Status",
    "holder",
    "make_plan",
    "plan_deploy",
    "run_deploy",
]
