"""One error class for everything that can go wrong, with the next step and the exit code."""

from __future__ import annotations

EXIT_OK = 0
EXIT_FINDINGS = 1
EXIT_USAGE = 2
EXIT_OPERATIONAL = 3


class MeterledgerError(Exception):
    """Something that stops a command.

    The library raises it and never prints; the command line turns it into one
    message on stderr and an exit code.

    Attributes:
        message: what went wrong, one sentence, without secrets.
        next_step: what the operator does now, one sentence.
        exit_code: 1 findings, 2 usage, 3 operational.
        details: further lines worth showing (a list of offending rows, a log's end).
    """

    exit_code = EXIT_OPERATIONAL

    def __init__(
        self,
        message: str,
        *,
        next_step: str,
        details: tuple[str, ...] = (),
        exit_code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        self.details = details
        if exit_code is not None:
            self.exit_code = exit_code


class UsageError(MeterledgerError):
    """The command was typed or configured wrongly: a missing variable, a wrong URL."""

    exit_code = EXIT_USAGE


class FindingsError(MeterledgerError):
    """The command ran, and what it looked at is not as it must be."""

    exit_code = EXIT_FINDINGS


class OperationalError(MeterledgerError):
    """The outside world refused: a stopped server, a missing program, a full disk."""
