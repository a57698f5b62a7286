"""One error class for everything that can go wrong, with the next step and the exit code."""

from __future__ import annotations

import re

EXIT_OK = 0
EXIT_FINDINGS = 1
EXIT_USAGE = 2
EXIT_OPERATIONAL = 3

# Stands in advice for the environment's name, which the library is not told.
ENVIRONMENT = "ENV"
_ENVIRONMENT = re.compile(rf"(?<=\s){ENVIRONMENT}\b")


def named(advice: str, environment: str) -> str:
    """Advice as it is to be typed for this environment."""
    return _ENVIRONMENT.sub(lambda _: environment, advice)


def exit_code(*, failed: bool, pending: bool) -> int:
    """Of a proof: a defect is a finding; what is not to be proven yet lacks its ground."""
    if failed:
        return EXIT_FINDINGS
    return EXIT_OPERATIONAL if pending else EXIT_OK


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

    def name(self, environment: str) -> None:
        """Put the environment's name into the next step."""
        self.next_step = named(self.next_step, environment)


class UsageError(MeterledgerError):
    """The command was typed or configured wrongly: a missing variable, a wrong URL."""

    exit_code = EXIT_USAGE


class FindingsError(MeterledgerError):
    """The command ran, and what it looked at is not as it must be."""

    exit_code = EXIT_FINDINGS


class OperationalError(MeterledgerError):
    """The outside world refused: a stopped server, a missing program, a full disk."""


class NotRolledOutError(OperationalError):
    """The command needs a rollout that the database has not had, or has no more."""
