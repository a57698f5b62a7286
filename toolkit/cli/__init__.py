"""The command line: parse, call, render, exit code. Nothing else imports typer or prints."""

from __future__ import annotations

import sys

import typer

from toolkit.cli import local
from toolkit.cli.demo import demo
from toolkit.cli.rehearse import rehearse
from toolkit.cli.validate import validate
from toolkit.connection import redact
from toolkit.errors import EXIT_OK, MeterledgerError

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
app.command()(validate)
app.add_typer(local.app, name="local")


@app.callback()
def _meterledger() -> None:
    """One source of truth for a prepaid-electricity app on Supabase."""


def main() -> None:
    """Run the command and leave with its exit code."""
    sys.exit(run())


def run(arguments: list[str] | None = None) -> int:
    """Run the command; its exit code: 0 fine, 1 findings, 2 usage, 3 operational."""
    try:
        code = app(arguments, standalone_mode=False)
    except MeterledgerError as error:
        _complain(error)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except Exception as error:
        # The parser's own errors know how to show themselves; everything else is a bug.
        if not hasattr(error, "show") or not hasattr(error, "exit_code"):
            raise
        error.show()
        return int(error.exit_code)
    return code if isinstance(code, int) else EXIT_OK


def _complain(error: MeterledgerError) -> None:
    for line in error.details:
        typer.echo(f"  {redact(line)}", err=True)
    typer.echo(f"error: {redact(error.message)}", err=True)
    typer.echo(f"next: {redact(error.next_step)}", err=True)
