"""Scores the isolation proof on a database of its own, with a worker for each processor."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from toolkit.bootstrap import StartingPoint, create_legacy_app
from toolkit.connection import connect
from toolkit.errors import OperationalError
from toolkit.isolation.catalog import as_it_stands
from toolkit.isolation.declaration import load_access
from toolkit.local.server import Server
from toolkit.mutation.model import Mutant
from toolkit.mutation.mutants import mutants
from toolkit.mutation.sample import sample
from toolkit.mutation.score import Outcome, Prover, Score
from toolkit.mutation.worker import Broken, begin, work
from toolkit.rollout.push import find_cli
from toolkit.trial import Observer, Stopwatch, fresh_database, roll_out

DATABASE = "mutation"
TIME_ZONE = "UTC"
_BATCH = 8
_WORKERS = 2
_Work = Future[list[Outcome] | Broken]


@dataclass(frozen=True)
class MutationOptions:
    """What to score on.

    Attributes:
        starting_point: what the app had before the rollout.
        count: how many mutants to take; None: all of them.
        seed: which ones, where not all are taken.
        workers: processes, each with a database of its own.
    """

    starting_point: StartingPoint = StartingPoint.DUAL_WRITE
    count: int | None = None
    seed: int = 1
    workers: int = _WORKERS


@dataclass(frozen=True)
class MutationReport:
    """The score, and of what.

    Attributes:
        server_version: for example 17.10.
        starting_point: what the app had before the rollout.
        there: how many mutants the database has.
        score: of those that were chosen.
        seconds: by step.
    """

    server_version: str
    starting_point: StartingPoint
    there: int
    score: Score
    seconds: dict[str, float]

    def as_object(self) -> dict[str, Any]:
        """For --json."""
        return {
            "server_version": self.server_version,
            "starting_point": self.starting_point.value,
            "mutants_there": self.there,
            **self.score.as_object(),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }


def run_mutation(options: MutationOptions, prove: Prover, observer: Observer) -> MutationReport:
    """Make a migrated database on a temporary server, and score a proof on it.

    Args:
        options: what to score on.
        prove: the proof; a function of a module, since the workers import it by its name.
        observer: told of steps and of each mutant.

    Raises:
        FindingsError: the proof finds something without any mutant.
        OperationalError: no server, no CLI, a phase that raised, or a proof that failed.
    """
    find_cli()
    watch = Stopwatch(observer)
    with fresh_database(None, DATABASE, watch) as server:
        url = server.url(DATABASE)
        if options.starting_point is not StartingPoint.EMPTY:
            with connect(url) as connection:
                create_legacy_app(connection, options.starting_point)
        roll_out(url, TIME_ZONE, watch)
        with connect(url) as connection:
            there = mutants(connection, as_it_stands(connection, load_access()))
        chosen = there
        if options.count is not None:
            chosen = sample(there, count=options.count, seed=options.seed)
        with watch.step("copy"):
            urls = _copies(server, max(1, options.workers))
        with watch.step("score"), _workers(urls, prove) as workers:
            outcomes = _spread(workers, chosen, observer)
        version = server.binaries.version
    return MutationReport(
        version, options.starting_point, len(there), Score(outcomes), watch.seconds
    )


def _copies(server: Server, count: int) -> tuple[str, ...]:
    """URLs of the database and its copies; what a mutant locks in one does not stop another."""
    urls = [server.url(DATABASE)]
    with connect(server.admin_url(), autocommit=True) as connection:
        for number in range(2, count + 1):
            name = f"{DATABASE}_{number}"
            connection.execute(
                sql.SQL("create database {} template {} owner postgres").format(
                    sql.Identifier(name), sql.Identifier(DATABASE)
                )
            )
            urls.append(server.url(name))
    return tuple(urls)


@contextmanager
def _workers(urls: Sequence[str], prove: Prover) -> Iterator[tuple[ProcessPoolExecutor, ...]]:
    """One process for each database, for the time of a with block.

    Each is a pool of one, so that it keeps its connection. They are spawned, not forked: a
    fork would share the parent's sockets and threads.
    """
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pools = tuple(
            stack.enter_context(
                ProcessPoolExecutor(1, mp_context=context, initializer=begin, initargs=(url, prove))
            )
            for url in urls
        )
        yield pools


def _spread(
    workers: Sequence[ProcessPoolExecutor], chosen: Sequence[Mutant], observer: Observer
) -> tuple[Outcome, ...]:
    """Hand out small batches, so that no worker waits for the other at the end."""
    names = [mutant.name for mutant in chosen]
    batches = [names[start : start + _BATCH] for start in range(0, len(names), _BATCH)][::-1]
    running: dict[_Work, ProcessPoolExecutor] = {}
    found: dict[str, Outcome] = {}

    def hand_out(worker: ProcessPoolExecutor) -> None:
        if batches:
            running[worker.submit(work, batches.pop())] = worker

    for worker in workers:
        hand_out(worker)
    while running:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            worker = running.pop(future)
            answer = _answer(future)
            hand_out(worker)
            found |= {outcome.mutant.name: outcome for outcome in answer}
            observer.progress(len(found), len(names))
    return tuple(found[name] for name in names)


def _answer(future: _Work) -> list[Outcome]:
    try:
        answer = future.result()
    except BrokenProcessPool as error:
        raise OperationalError(
            "a process that judged mutants ended without an answer",
            next_step="look at the machine's free memory, then run the command again",
        ) from error
    if isinstance(answer, Broken):
        raise answer.as_error()
    return answer
