"""The command line: parse, call, render, exit code. Nothing else imports typer or prints."""

from __future__ import annotations

import sys
import tempfile

import psycopg
import typer

from toolkit.cli import backup, env, local
from toolkit.cli.backfill import backfill
from toolkit.cli.console import printable
from toolkit.cli.cutover import contract, cutback, cutover
from toolkit.cli.demo import demo
from toolkit.cli.deploy import deploy
from toolkit.cli.doctor import doctor
from toolkit.cli.isolation import isolation
from toolkit.cli.mutation import mutation
from toolkit.cli.preflight import preflight
from toolkit.cli.promote import promote, receipt, rollout
from toolkit.cli.rehearse import rehearse
from toolkit.cli.review import duplicates, rejects
from toolkit.cli.rollback import rollback
from toolkit.cli.run import run as run_handler
from toolkit.cli.status import status
from toolkit.cli.validate import validate
from toolkit.connection import redact
from toolkit.errors import EXIT_OK, EXIT_OPERATIONAL, MeterledgerError, OperationalError

EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="meterledger",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="One source of truth for a prepaid-electricity app on Supabase.",
)
app.command()(demo)
app.command()(rehearse)
app.add_typer(env.app, name="env")
app.command()(preflight)
app.add_typer(backup.app, name="backup")
app.command()(deploy)
app.command()(backfill)
app.command()(validate)
app.command()(isolation)
app.command()(status)
app.command()(doctor)
app.add_typer(rejects, name="rejects")
app.add_typer(duplicates, name="duplicates")
app.command()(rollout)
app.command()(receipt)
app.command()(promote)
app.command()(cutover)
app.command()(cutback)
app.command()(contract)
app.command()(rollback)
app.command("run")(run_handler)
app.command()(mutation)
app.add_typer(local.app, name="local")


@app.callback()
def _meterledger() -> None:
    """One source of truth for a prepaid-electricity app on Supabase."""


def main() -> None:
    """Run the command and leave with its exit code."""
    sys.exit(run())


def run(arguments: list[str] | None = None) -> int:
    """Run the command; its exit code: 0 fine, 1 findings, 2 usage, 3 operational."""
    # Python tries the folder for temporary files out with a file of its own, once: here, where
    # Ctrl-C is not yet awaited, and not in the middle of a step.
    tempfile.gettempdir()
    try:
        code = app(arguments, standalone_mode=False)
    except MeterledgerError as error:
        _complain(error)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_INTERRUPTED
    except (psycopg.Error, OSError) as error:
        _complain(_unforeseen(error))
        return EXIT_OPERATIONAL
    except Exception as error:
        # The parser's own errors know how to show themselves; everything else is a bug.
        if not hasattr(error, "show") or not hasattr(error, "exit_code"):
            raise
        error.show()
        return int(error.exit_code)
    if code == EXIT_INTERRUPTED:  # typer answers Ctrl-C with the code alone
        typer.echo("interrupted", err=True)
    return code if isinstance(code, int) else EXIT_OK


def _unforeseen(error: psycopg.Error | OSError) -> OperationalError:
    """The words for a server that went away or a disk that is full in the middle of a step."""
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return OperationalError(
            f"the database takes no writes: {error.diag.message_primary or error}",
            next_step="it is a replica, or set read-only: point DATABASE_URL at the primary",
        )
    if isinstance(error, psycopg.Error):
        state = f" ({error.sqlstate})" if error.sqlstate else ""
        return OperationalError(
            f"the database server refused: {error.diag.message_primary or error}{state}",
            next_step="look at its log (meterledger local status names it), at the disk's free "
            "space and at the machine's memory, then run the command again",
        )
    where = f": {error.filename}" if error.filename else ""
    return OperationalError(
        f"{error.strerror or type(error).__name__}{where}",
        next_step="check the disk's free space and the file's owner, then run the command again",
    )


def _complain(error: MeterledgerError) -> None:
    for line in error.details:
        typer.echo(f"  {printable(redact(line))}", err=True)
    typer.echo(f"error: {printable(redact(error.message))}", err=True)
    typer.echo(f"next: {printable(redact(error.next_step))}", err=True)
