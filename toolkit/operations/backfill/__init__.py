"""The data migration in batches of whole users, beside a running app."""

from toolkit.operations.backfill.options import BackfillOptions, BackfillPlan, BackfillReport
from toolkit.operations.backfill.run import plan_backfill, run_backfill

__all__ = ["BackfillOptions", "BackfillPlan", "BackfillReport", "plan_backfill", "run_backfill"]
