"""meterledger backup: a dump that is proven by restoring it, and the way back from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from toolkit import settings
from toolkit.cli import target
from toolkit.cli.backup_view import backup_object, backup_row, print_backup
from toolkit.cli.confirm import Confirm, Yes, require_confirmation
from toolkit.cli.console import err, observing, print_json, print_table, say
from toolkit.connection import describe
from toolkit.errors import EXIT_FINDINGS, EXIT_OK, UsageError
from toolkit.operations.backup import folder, listing
from toolkit.operations.backup.listing import Backup, ProofState
from toolkit.operations.backup.make import make_backup
from toolkit.operations.backup.manifest import MANIFEST_FILE
from toolkit.operations.backup.restore import restore_backup
from toolkit.operations.backup.target import check_target

_MAKE = "make"


class _MakeByDefault(TyperGroup):
    """`backup ENV` is `backup make ENV`; an environment named like a command needs `make`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer brings its own
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = [_MAKE, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_MakeByDefault,
    no_args_is_help=True,
    help="Back up what the rollout touches, proven by a restore: meterledger backup ENV.",
)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
EnvironmentName = Annotated[
    str, typer.Argument(metavar="ENV", help="local, or a name whose .env.<name> there is.")
]


@app.command()
def make(
    environment: EnvironmentName,
    database_url: target.DatabaseUrl = None,
    database: target.Database = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify/--no-verify",
            help="Restore it into a temporary server and compare rows, policies and grants.",
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Dump schemas public, ledger and supabase_migrations in one snapshot, and prove the dump.

    Also written `meterledger backup ENV`. Waits for no lock longer than 5 seconds. Exit code 1:
    the restored copy differs; the backup is kept, unverified.
    """
    where = target.find(environment, database_url, database)
    with observing() as observer:
        report = make_backup(
            where.url,
            where.environment.name,
            _root(where.environment),
            verify=verify,
            observer=observer,
        )
    if as_json:
        print_json(report.as_object())
    else:
        print_backup(report)
    failed = report.proof_wanted and not report.manifest.verified
    raise typer.Exit(EXIT_FINDINGS if failed else EXIT_OK)


@app.command(name="list")
def list_(
    environment: EnvironmentName,
    check: Annotated[
        bool, typer.Option("--check", help="Read every file and compare its sha256.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the backups of an environment, the newest first; connects to nothing.

    Exit code 1: a backup is damaged.
    """
    root = _root(_known(environment))
    found = listing.backups(root, environment, check=check)
    unfinished = folder.leftovers(root)
    if as_json:
        print_json(
            {
                "environment": environment,
                "folder": str(root),
                "backups": [backup_object(backup) for backup in found],
                "leftovers": list(unfinished),
            }
        )
    else:
        print_table(
            f"backups of {environment} in {root}",
            ("name", "age", "MB", "rows", "proof", "problem"),
            [backup_row(backup) for backup in found],
        )
        for name in unfinished:
            say(f"half-written: {name} (the next backup removes it)")
    damaged = any(backup.problem for backup in found)
    raise typer.Exit(EXIT_FINDINGS if damaged else EXIT_OK)


@app.command()
def restore(
    source: Annotated[
        str,
        typer.Argument(
            metavar="ENV|FOLDER",
            help="An environment, for its newest verified backup, or the folder of a backup.",
        ),
    ],
    into: Annotated[
        str,
        typer.Option(
            "--into", metavar="ENV|URL", help="The empty database; passwords go into PGPASSWORD."
        ),
    ],
    name: Annotated[
        str | None, typer.Option("--backup", help="Another backup of ENV than the newest.")
    ] = None,
    database: target.Database = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    yes: Yes = False,
    confirm: Confirm = None,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an EMPTY database, compare with the manifest, then commit.

    One transaction: however it ends, the target holds all of it or nothing.
    """
    backup = _source(source, name)
    if _is_url(into):
        where = target.find(None, into, None)
    else:
        where = target.find(into, None, database, changes=not dry_run)
    manifest = backup.manifest
    if manifest is None:  # sound() has refused it
        raise UsageError("the backup has no manifest", next_step="use another backup")
    check_target(where.url, manifest)
    err.print(
        f"{backup.name} of {manifest.environment}: {manifest.facts.rows:,} rows in "
        f"{len(manifest.facts.tables)} tables, "
        f"{'verified' if manifest.verified else 'NOT verified'}; into {describe(where.url)}",
        soft_wrap=True,
        markup=False,
    )
    if dry_run:
        return
    action = f"restore backup {backup.name} of {manifest.environment} into {describe(where.url)}"
    require_confirmation(where.environment, action, confirm, yes)
    with observing() as observer:
        observer.step("restore and compare")
        named = None if _is_url(into) or into == settings.LOCAL else into
        report = restore_backup(where.url, backup, environment=named, observer=observer)
        for note in report.notes:
            observer.note(note)
    if as_json:
        print_json(report.as_object())
    else:
        say(f"restored: {report.rows:,} rows, as the manifest says, into {report.database}")


@app.command()
def prune(
    environment: EnvironmentName,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")
    ] = False,
    yes: Yes = False,
    confirm: Confirm = None,
    as_json: AsJson = False,
) -> None:
    """Remove verified backups older than the retention, and those whose proof was interrupted.

    Never the newest verified one, and none whose proof is still running.
    """
    known = _known(environment)
    root = _root(known)
    doomed = listing.to_prune(listing.backups(root, environment), known.retention_days)
    removed = False
    if doomed and not dry_run:
        action = f"remove {', '.join(backup.name for backup in doomed)}"
        require_confirmation(known, action, confirm, yes)
        for backup in doomed:
            listing.remove(backup)
        removed = True
    names = [backup.name for backup in doomed]
    cut_off = [backup.name for backup in doomed if backup.proof is ProofState.INTERRUPTED]
    if as_json:
        print_json(
            {
                "retention_days": known.retention_days,
                "backups": names,
                "interrupted_proofs": cut_off,
                "removed": removed,
            }
        )
        return
    for backup_name in names:
        why = f" ({ProofState.INTERRUPTED.value})" if backup_name in cut_off else ""
        say(f"{'removed' if removed else 'would be removed'}: {backup_name}{why}")
    if not names:
        say(f"nothing is older than {known.retention_days} days and may go")


def _source(source: str, name: str | None) -> Backup:
    path = Path(source)
    if name is None and (path / MANIFEST_FILE).is_file():
        return listing.sound(path.absolute())
    if "/" in source or source.startswith("."):
        raise UsageError(
            f"{source} is no backup: it has no {MANIFEST_FILE}",
            next_step="name the folder that holds dump.custom and manifest.json, or an environment",
        )
    return listing.find(_root(_known(source)), source, name)


def _known(environment: str) -> settings.Environment:
    """What is known of an environment, without a connection; local needs no running server."""
    if environment == settings.LOCAL:
        home = settings.load().home
        return settings.Environment(
            settings.LOCAL, backup_folder=settings.backups_of(settings.LOCAL, home)
        )
    return settings.environment(environment)


def _root(environment: settings.Environment) -> Path:
    if environment.backup_folder is None:
        raise UsageError(
            f"{environment.name} has no folder for backups",
            next_step="name one in METERLEDGER_BACKUPS",
        )
    return environment.backup_folder


def _is_url(into: str) -> bool:
    return "://" in into or "=" in into
