"""How a cutover, a cutback and a contract are shown."""

from __future__ import annotations

from rich.text import Text

from toolkit.cli.console import print_table, printable, say
from toolkit.operations.cutover import (
    ContractPlan,
    CutbackPlan,
    CutbackReport,
    CutoverPlan,
    CutoverReport,
)

_STEPS = (
    "look at the data once more (pending, rejected, differing readings), beside running writers",
    "lock electricity_readings, or give way and try again; writers wait from here on",
    "rename the table to ledger.electricity_readings_archive, create the view, its triggers and "
    "grants, point the app's views at it",
    "commit; then verify the phases, and that every archived row is accounted for",
)


def print_cutover_plan(plan: CutoverPlan) -> None:
    """A table of findings, and what will happen."""
    if plan.standing is not None:
        say(_done_since(plan))
        return
    print_table(
        f"cutover of {plan.database}",
        ("verdict", "topic", "finding", "next step"),
        [
            (found.verdict.value, found.topic, f"{found.subject}: {found.text}", found.next_step)
            for found in plan.findings
        ],
    )
    say("what will happen:")
    for number, step in enumerate(_STEPS, 1):
        say(f"  {number}. {step}")
    if plan.refusals:
        say(Text(f"not possible: {len(plan.refusals)} findings refuse it", style="bold red"))
    elif plan.unacknowledged:
        words = " ".join(f"--acknowledge {topic}" for topic in plan.topics)
        say(Text(f"possible, with {words}", style="yellow"))
    else:
        say(Text("possible", style="bold green"))


def print_cutover_report(report: CutoverReport) -> None:
    """What was done."""
    if report.already:
        say(_done_since(report.plan))
        return
    say(
        f"cut over: {report.rows:,} readings under the old name, {report.archived:,} rows archived"
        f"{f', {report.views_moved} views moved' if report.views_moved else ''}"
    )
    say(_waited(report.held_seconds, report.attempts, report.seconds))


def print_cutback_plan(plan: CutbackPlan) -> None:
    """What would be merged, and what the table cannot take."""
    if plan.standing is None:
        say("nothing to do: electricity_readings is the table")
        return
    say(
        f"cutback of {plan.database}: the readings of {plan.unmerged:,} of {plan.users:,} users "
        "are to be merged into the archived table"
    )
    if plan.unfit:
        print_table(
            f"{plan.unfit_count:,} readings that the table cannot take back",
            ("user", "reading", "problem"),
            [(one.user_id, one.reading_id, one.problem) for one in plan.unfit],
        )
        say(Text(f"correct them, or --set-aside {plan.unfit_count}", style="yellow"))
    else:
        say(Text("possible", style="bold green"))


def print_cutback_report(report: CutbackReport) -> None:
    """What was done."""
    if report.already:
        say("nothing to do: electricity_readings is the table")
        return
    aside = f", {report.set_aside:,} readings set aside" if report.set_aside else ""
    say(
        f"cut back: {report.merged_before:,} users merged beside their writers, "
        f"{report.merged_in_switch:,} in the switch{aside}"
    )
    say(_waited(report.held_seconds, report.attempts, report.seconds))


def print_contract_plan(plan: ContractPlan) -> None:
    """What would go, and what speaks against it."""
    if plan.done:
        say("nothing to do: the archive was emptied before")
        return
    say(
        f"contract of {plan.database}: {plan.rows:,} archived rows go for good "
        f"({plan.size_bytes:,} bytes)"
    )
    say(
        f"{plan.rejected:,} of them were rejected: no event stands for them, and they are then in "
        "ledger.migration_rejects alone"
    )
    say("cutback stays possible: it fills the table from the events and the list of rejects")
    for text, step in plan.obstacles:
        say(Text(printable(f"not yet: {text}"), style="bold red"))
        say(Text(printable(f"  next: {step}")))
    if not plan.obstacles:
        say(Text("possible", style="bold green"))


def _done_since(plan: CutoverPlan) -> str:
    if plan.standing is None:
        return ""
    since = f"{plan.standing.since:%Y-%m-%d %H:%M:%S %Z}"
    return f"nothing to do: cut over since {since} (cutover {plan.standing.cutover_id})"


def _waited(held: float, attempts: int, seconds: float) -> str:
    tries = "the first attempt" if attempts == 1 else f"attempt {attempts}"
    return f"others waited for {held:.2f} s at most; {tries} went through; {seconds:.1f} s in all"
