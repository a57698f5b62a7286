"""What a process that judges mutants does: opens its database once, then works on names."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from toolkit.connection import connect
from toolkit.errors import MeterledgerError
from toolkit.isolation.access import Access
from toolkit.isolation.catalog import as_it_stands
from toolkit.isolation.declaration import load_access
from toolkit.mutation.model import Mutant
from toolkit.mutation.mutants import mutants
from toolkit.mutation.score import Outcome, Prover, judge, require_clean


@dataclass(frozen=True)
class Broken:
    """An error on its way to the parent; errors with named fields do not survive pickling."""

    kind: type[MeterledgerError]
    message: str
    next_step: str
    details: tuple[str, ...]
    exit_code: int

    def as_error(self) -> MeterledgerError:
        """The error again."""
        return self.kind(
            self.message,
            next_step=self.next_step,
            details=self.details,
            exit_code=self.exit_code,
        )


@dataclass(frozen=True)
class _Bench:
    connection: psycopg.Connection[TupleRow]
    access: Access
    prove: Prover
    there: dict[str, Mutant]


@dataclass
class _Place:
    """This process's database, and its bench once that is open."""

    url: str
    prove: Prover
    bench: _Bench | None = None


_place: list[_Place] = []


def begin(url: str, prove: Prover) -> None:
    """Remember what to work on. Ctrl-C is the parent's affair, and so is this process's end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    _place.append(_Place(url, prove))


def work(names: list[str]) -> list[Outcome] | Broken:
    """Judge some mutants by their names, once the proof has found nothing without any."""
    place = _place[0]
    try:
        if place.bench is None:
            place.bench = _opened(place)
        bench = place.bench
        return [
            judge(bench.connection, bench.access, bench.prove, bench.there[name]) for name in names
        ]
    except MeterledgerError as error:
        return Broken(type(error), error.message, error.next_step, error.details, error.exit_code)


def _opened(place: _Place) -> _Bench:
    """Connect, and find the database's mutants: the names of a copy's are the original's."""
    # Not prepared: a plan that outlives a mutant's rollback would be of another catalog.
    connection = connect(
        place.url, autocommit=True, application_name="meterledger mutation", prepare=False
    )
    access = as_it_stands(connection, load_access())
    require_clean(connection, access, place.prove)
    there = {mutant.name: mutant for mutant in mutants(connection, access)}
    return _Bench(connection, access, place.prove, there)


def _end_with_the_parent() -> None:
    """A parent that was killed leaves nobody to work for."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
