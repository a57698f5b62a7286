"""meterledger mutation: what the isolation proof says of databases weakened on purpose."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from toolkit.bootstrap import StartingPoint
from toolkit.cli.console import observing, print_json, print_table, printable, say
from toolkit.errors import EXIT_FINDINGS, EXIT_OK
from toolkit.isolation.run import prove_inside
from toolkit.mutation.run import MutationOptions, MutationReport, run_mutation
from toolkit.mutation.score import Outcome, Score


def mutation(
    starting_point: Annotated[
        StartingPoint, typer.Option("--from", help="What the app had before the rollout.")
    ] = StartingPoint.DUAL_WRITE,
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Only so many mutants, of every kind; all if left out."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Which ones: the same seed takes the same.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Weaken a database of our own in each way there is, and see whether the proof notices.

    Each mutant is one policy, grant, key or guard less, or one object more, in a transaction
    that is rolled back. Exit code 1: at least one was there, and nothing was found.
    """
    options = MutationOptions(starting_point, count=sample, seed=seed)
    with observing() as observer:
        report = run_mutation(options, prove_inside, observer)
    if as_json:
        print_json(report.as_object())
    else:
        _show(report)
    raise typer.Exit(EXIT_OK if report.score.complete else EXIT_FINDINGS)


def _show(report: MutationReport) -> None:
    score = report.score
    print_table(
        f"mutants of a database that began as {report.starting_point.value}, "
        f"PostgreSQL {report.server_version}",
        ("kind", "mutants", "killed", "by doing", "by reading", "survived", "inapplicable"),
        [
            *(_row(kind.value, of_kind) for kind, of_kind in score.by_kind().items()),
            _row("all", score),
        ],
    )
    for outcome in score.inapplicable:
        say(Text(printable(f"inapplicable: {outcome.mutant.name}: {outcome.inapplicable}")))
    for outcome in score.survivors:
        _show_survivor(outcome)
    left = report.there - score.mutants
    say(
        f"{score.killed:,} of {score.mutants - len(score.inapplicable):,} mutants killed, "
        f"{score.percent}%"
        + (f" ({left:,} others were not tried)" if left else "")
        + f", in {report.seconds['score']:.0f} s: "
        + ("[bold green]all of them[/]" if score.complete else "[bold red]not all of them[/]")
    )


def _row(name: str, score: Score) -> tuple[object, ...]:
    return (
        name,
        f"{score.mutants:,}",
        f"{score.killed:,}",
        f"{score.by_doing:,}",
        f"{score.by_reading:,}",
        f"{len(score.survivors):,}",
        f"{len(score.inapplicable):,}",
    )


def _show_survivor(outcome: Outcome) -> None:
    say(Text(printable(f"survived: {outcome.mutant.name}"), style="bold red"))
    for statement in outcome.mutant.statements:
        say(Text(printable(f"  {' '.join(statement.split())};")))
