"""The rollout: the phases, their push through the Supabase CLI, their checks and reversal."""

from toolkit.rollout.phases import Phase, phases, roll_back, verify
from toolkit.rollout.push import PushReport, push

__all__ = ["Phase", "PushReport", "phases", "push", "roll_back", "verify"]
