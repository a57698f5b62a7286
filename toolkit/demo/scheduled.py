"""The scheduled handlers at work on the demonstration's database: at first, and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from functions.entry import Entry
from functions.refresh_readings.main import entry as refresh_readings
from functions.runtime import Config, Result, Run
from functions.verify_readings.main import entry as verify_readings


@dataclass(frozen=True)
class Scheduled:
    """What the handlers answered, each twice: with everything to do, and with nothing changed.

    Attributes:
        refresh: of the materialized view.
        audit: of the projection against the events.
    """

    refresh: tuple[Result, Result]
    audit: tuple[Result, Result]

    @property
    def clean(self) -> bool:
        """Both did their work, and the projection is what the events say."""
        return (
            self.refresh[0]["outcome"] == "refreshed"
            and self.refresh[1]["outcome"] == "not needed"
            and all(answer["outcome"] == "clean" for answer in self.audit)
        )

    def lines(self) -> tuple[str, str]:
        """For a person to read."""
        refresh, audit = self.refresh[0], self.audit[0]
        rows = f"{refresh['rows']:,} rows" if "rows" in refresh else refresh.get("reason", "")
        return (
            f"scheduled refresh: {refresh['outcome']}, {rows} in {refresh['run_seconds']} s; "
            f"again: {self.refresh[1]['outcome']}, in {self.refresh[1]['run_seconds']} s",
            f"scheduled audit: {audit.get('users', 0):,} users, {audit['outcome']}, in "
            f"{audit['run_seconds']} s; again: {self.audit[1]['outcome']}, in "
            f"{self.audit[1]['run_seconds']} s",
        )


def run_scheduled(database_url: str, note: Callable[[str], None]) -> Scheduled:
    """Run the handlers as a timer would, over connections of their own.

    Args:
        database_url: as the owner.
        note: takes what they log.
    """
    config = Config(via="database", database_url=database_url)

    def run(entry: Entry) -> Result:
        return entry.run(Run(entry.name, config, trigger="demo", write=note))[1]

    refresh = run(refresh_readings), run(refresh_readings)
    return Scheduled(refresh, (run(verify_readings), run(verify_readings)))
