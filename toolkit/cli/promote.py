"""meterledger rollout, receipt and promote: the whole way of one environment, and to the next."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from toolkit import settings
from toolkit.cli import target
from toolkit.cli.confirm import Confirm, Yes, require_confirmation
from toolkit.cli.console import observing, print_json, print_table, printable, say
from toolkit.cli.target import Target
from toolkit.connection import redact
from toolkit.environments.protection import protected
from toolkit.errors import UsageError, exit_code
from toolkit.operations.promote.receipt import MAX_AGE, Receipt, check_key, read
from toolkit.operations.promote.run import (
    RolloutReport,
    run_rollout,
    staging_receipt,
    steps_from,
    vouch,
)
from toolkit.operations.promote.steps import Job
from toolkit.trial import Observer

_HOURS = int(MAX_AGE.total_seconds() // 3600)
RECEIPTS = "receipts"

EnvironmentName = Annotated[str, typer.Argument(metavar="ENV", help="Which; .env.ENV says where.")]
TimeZone = Annotated[
    str | None,
    typer.Option(help="The zone that your users live by, where the database has none confirmed."),
]
Start = Annotated[
    str, typer.Option("--from", metavar="STEP", help="Continue a stopped run at this step.")
]
Acknowledge = Annotated[
    list[str] | None,
    typer.Option(help="What you vouch for in the checklist (see preflight); repeatable."),
]
AccessFiles = Annotated[
    list[Path] | None, typer.Option(exists=True, help="A declaration of your own objects.")
]
Plan = Annotated[bool, typer.Option("--plan", help="Say what would be done, and do nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def rollout(
    environment: EnvironmentName,
    start: Start = "preflight",
    time_zone: TimeZone = None,
    acknowledge: Acknowledge = None,
    access: AccessFiles = None,
    without_staging: Annotated[
        bool, typer.Option("--without-staging", help="A protected environment, without promotion.")
    ] = False,
    plan: Plan = False,
    confirm: Confirm = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Roll out one environment: preflight, backup, deploy, backfill, validate, isolation.

    Stops at the first red, with the commands to continue and to undo. All green: a receipt,
    signed with METERLEDGER_RECEIPT_KEY. Exit code 1: a step was red.
    """
    where = target.find(environment, None, None, changes=not plan)
    if plan:
        _show_plan(environment, start, as_json)
        return
    check_key(where.environment.receipt_key)
    if protected(where.environment) and not without_staging:
        raise UsageError(
            f"{environment} is protected: it gets what was proven elsewhere",
            next_step=f"meterledger promote STAGING {environment}; or say --without-staging",
        )
    require_confirmation(where.environment, "roll out", confirm, yes)
    command = " ".join(
        [
            f"meterledger rollout {environment}",
            *_again(time_zone, acknowledge, access),
            *(["--without-staging"] if without_staging else []),
        ]
    )
    with observing() as observer:
        job = _job(where, observer, time_zone, acknowledge, access)
        with target.naming(where):
            report = _run(job, command, start)
    _finish(report, as_json)


def receipt(
    environment: EnvironmentName, access: AccessFiles = None, as_json: AsJson = False
) -> None:
    """Prove an environment as it is (validate, isolation), and leave a receipt of it.

    Exit code 1: it is red. 3: it is not rolled out, or its data waits for the backfill.
    """
    where = target.find(environment, None, None, changes=True)
    with observing() as observer:
        job = _job(where, observer, None, None, access)
        with target.naming(where):
            report = _run(job, f"meterledger receipt {environment}", "validate")
    _finish(report, as_json)


def promote(
    staging: Annotated[str, typer.Argument(help="Where it was proven.")],
    production: Annotated[str, typer.Argument(help="Where it goes.")],
    receipt_file: Annotated[
        Path | None,
        typer.Option(
            "--receipt",
            exists=True,
            help="Staging's receipt as a file; its newest one on record there if left out.",
        ),
    ] = None,
    max_age: Annotated[int, typer.Option(min=1, help="Hours that it may be old.")] = _HOURS,
    start: Start = "preflight",
    time_zone: TimeZone = None,
    acknowledge: Acknowledge = None,
    access: AccessFiles = None,
    plan: Plan = False,
    confirm: Confirm = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Promote what was proven on STAGING to PRODUCTION; refuses without a green receipt.

    The receipt must be signed, of the same files and young enough. Then the rollout of
    production runs like any other, and leaves production's receipt.
    """
    if staging == production:
        raise UsageError(
            f"{staging} cannot be promoted to itself", next_step="name two environments"
        )
    where = target.find(production, None, None, changes=not plan)
    key = check_key(where.environment.receipt_key)
    body, signature = _staging(staging, receipt_file, changes=not plan)
    hours = timedelta(hours=max_age)
    vouch(body, signature, key=key, environment=staging, max_age=hours)
    if plan:
        if not as_json:
            say(f"receipt of {staging}: {body.made_at}, {len(body.phases)} files, green")
        _show_plan(production, start, as_json)
        return
    require_confirmation(where.environment, f"promote {staging} to it", confirm, yes)

    def genuine(file: Path) -> None:
        vouch(*read(file), key=key, environment=staging, max_age=hours)

    with observing() as observer:
        job = Job(
            where.environment,
            where.url,
            observer,
            time_zone=time_zone,
            acknowledged=tuple(acknowledge or ()),
            receipt=receipt_file,
            verify_receipt=genuine,
            access=tuple(access or ()),
            vouched=body.phases,
        )
        command = " ".join(
            [
                f"meterledger promote {staging} {production}",
                *([f"--receipt {receipt_file}"] if receipt_file else []),
                *([f"--max-age {max_age}"] if max_age != _HOURS else []),
                *_again(time_zone, acknowledge, access),
            ]
        )
        report = _run(job, command, start)
    _finish(report, as_json)


def _staging(name: str, file: Path | None, *, changes: bool) -> tuple[Receipt, str]:
    """Staging's receipt. That of another database would let production be changed by mistake."""
    if file is not None:
        return read(file)
    return staging_receipt(target.find(name, None, None, changes=changes).url, name)


def _job(
    where: Target,
    observer: Observer,
    time_zone: str | None,
    acknowledge: list[str] | None,
    access: list[Path] | None,
) -> Job:
    return Job(
        where.environment,
        where.url,
        observer,
        time_zone=time_zone,
        acknowledged=tuple(acknowledge or ()),
        access=tuple(access or ()),
    )


def _run(job: Job, command: str, start: str) -> RolloutReport:
    folder = settings.load().home / RECEIPTS
    return run_rollout(
        job, key=job.environment.receipt_key, folder=folder, command=command, start=start
    )


def _show_plan(environment: str, start: str, as_json: bool) -> None:
    steps = steps_from(start)
    deploy = f"meterledger deploy {environment} --defer-backfill --plan"
    if as_json:
        print_json({"environment": environment, "steps": list(steps), "deploy": deploy})
        return
    say(f"{environment}: {' → '.join(steps)} → receipt")
    say(f"what deploy would do: {deploy}")


def _again(
    time_zone: str | None, acknowledge: list[str] | None, access: list[Path] | None
) -> list[str]:
    """The options that were given, for the words that say how to continue."""
    return [
        *([f"--time-zone {time_zone}"] if time_zone else []),
        *(f"--acknowledge {word}" for word in acknowledge or ()),
        *(f"--access {file}" for file in access or ()),
    ]


def _finish(report: RolloutReport, as_json: bool) -> None:
    if as_json:
        print_json(_object(report))
    else:
        _show(report)
    raise typer.Exit(
        exit_code(failed=not report.green and not report.pending, pending=report.pending)
    )


def _show(report: RolloutReport) -> None:
    print_table(
        f"rollout of {report.environment}",
        ("", "step", "what came of it", "seconds"),
        [(r.colour, r.name, redact(r.summary), f"{r.seconds:.1f}") for r in report.results],
    )
    for result in report.results:
        for line in (*result.findings, *result.notes):
            say(Text(printable(redact(f"  {line}"))))
    for line in report.red:
        say(line)
    if report.receipt is not None:
        say(f"receipt: {report.file}, and on record in the database")


def _object(report: RolloutReport) -> dict[str, object]:
    return {
        "environment": report.environment,
        "green": report.green,
        "steps": [
            {
                "name": result.name,
                "green": result.green,
                "pending": result.pending,
                "summary": redact(result.summary),
                "findings": [redact(line) for line in result.findings],
                "notes": [redact(line) for line in result.notes],
                "seconds": round(result.seconds, 3),
            }
            for result in report.results
        ],
        "receipt": str(report.file) if report.file else None,
        "next": list(report.red),
    }
