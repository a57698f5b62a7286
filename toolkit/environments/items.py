"""One thing that was looked at: how it is, what was found, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from toolkit.errors import MeterledgerError


class Grade(StrEnum):
    """How it is."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Item:
    """One thing that was looked at.

    Attributes:
        name: of the thing, a word for machines.
        grade: how it is.
        found: what was found, one sentence, without secrets.
        next_step: what to do; empty where it passes.
    """

    name: str
    grade: Grade
    found: str
    next_step: str = ""


def passed(name: str, found: str) -> Item:
    """It is as it should be."""
    return Item(name, Grade.PASS, found)


def warned(name: str, found: str, next_step: str) -> Item:
    """It works, and a person should look at it."""
    return Item(name, Grade.WARN, found, next_step)


def failed(name: str, found: str, next_step: str) -> Item:
    """It must be mended first."""
    return Item(name, Grade.FAIL, found, next_step)


def refused(name: str, error: MeterledgerError) -> Item:
    """An error that a look at it raised."""
    return Item(name, Grade.FAIL, error.message, error.next_step)
