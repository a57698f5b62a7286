"""Applies one file with the Supabase CLI, verifies it and records it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg import sql

from toolkit.errors import FindingsError, MeterledgerError, OperationalError
from toolkit.operations.deploy import guard
from toolkit.operations.deploy.errors import (
    CANCELLED,
    DEADLOCK,
    LOCK_TIMEOUT,
    explain,
    lost_connection,
)
from toolkit.operations.deploy.lock import Connection, DeployLock, lost
from toolkit.operations.deploy.options import AppliedFile, DeployOptions, Observer
from toolkit.operations.deploy.plan import PlannedFile, read_state
from toolkit.operations.deploy.provenance import Provenance
from toolkit.operations.deploy.watch import Watch, watching
from toolkit.rollout import checksums
from toolkit.rollout.phases import Phase, verify
from toolkit.rollout.push import push
from toolkit.rollout.push_error import PushError

_LONGEST_PAUSE_SECONDS = 60.0
_HEARTBEAT_SECONDS = 5.0
_BUILT_INDEX = re.compile(r"\bconcurrently\s+(?:if\s+not\s+exists\s+)?(?P<name>\w+)", re.I)
# Invalid, and nobody is building it at the moment.
_LEFT_BEHIND = (
    "select n.nspname, c.relname from pg_catalog.pg_index as i"
    " inner join pg_catalog.pg_class as c on c.oid = i.indexrelid"
    " inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace"
    " where not i.indisvalid and n.nspname in ('public', 'ledger') and c.relname = any(%s)"
    " and not exists (select from pg_catalog.pg_stat_progress_create_index as p"
    " where p.index_relid = i.indexrelid)"
)


@dataclass(frozen=True)
class Job:
    """What stays the same for all files of one deploy."""

    database_url: str
    lock: DeployLock
    options: DeployOptions
    observer: Observer
    provenance: Provenance
    direct: bool = True  # no pooler in between, which could drop a session's start-up options
    expected: Mapping[str, str] | None = None  # version → checksum, as the guards saw the files

    @property
    def connection(self) -> Connection:
        """The one that holds the lock."""
        return self.lock.connection


def phase_of(planned: PlannedFile) -> Phase:
    """The file as the rollout knows it."""
    file = planned.file
    return Phase(file.version, file.name, file.path)


def apply_file(job: Job, planned: PlannedFile) -> AppliedFile:
    """Push one file, again where it had to give way; verify it; record it.

    Raises:
        OperationalError: it failed; nothing of it was kept, unless it works concurrently.
        FindingsError: it was applied, and does not hold.
    """
    for attempt in range(1, job.options.retries + 1):
        job.lock.require_held()
        _clear_away(job, planned)
        started = time.monotonic()
        row = _begin(job, planned)
        failure, watch = _push(job, planned, row)
        seconds = time.monotonic() - started
        if failure is None or _applied_meanwhile(job, planned):
            job.observer.note(_how(failure, seconds))
            taken = hold(job, planned, row, seconds=round(seconds, 3), attempts=attempt)
            return AppliedFile(
                planned.file.version, planned.file.name, planned.checksum, attempt, seconds, taken
            )
        if row is not None:
            checksums.forget(job.connection, row)
        blockers = watch.blockers
        if not _gave_way(failure, watch) or attempt == job.options.retries:
            if watch.cancelled:
                failure.sqlstate = LOCK_TIMEOUT
            raise explain(failure, planned.file, blockers=blockers, attempts=attempt) from failure
        _pause(job, attempt, seconds, blockers)
    raise AssertionError("retries count from 1")


def _how(failure: PushError | None, seconds: float) -> str:
    if failure is None:
        return f"applied in {seconds:.1f} s"
    if failure.sqlstate is None:
        return f"applied in {seconds:.1f} s by the server, though the CLI was killed or cut off"
    return "another push applied it meanwhile"


def hold(job: Job, planned: PlannedFile, row: int | None, **details: object) -> float:
    """Verify an applied file and complete its record; the seconds that the verification took.

    Raises:
        FindingsError: it does not hold; its record stays open, so that the next deploy looks
            at it again.
    """
    started = time.monotonic()
    phase = phase_of(planned)
    try:
        verify(job.connection, [phase])
    except FindingsError as error:
        if job.connection.broken:
            raise lost() from error
        raise
    seconds = time.monotonic() - started
    facts = job.provenance.details(**details)
    if row is not None:
        checksums.complete(job.connection, row, facts)
    elif checksums.exists(job.connection):
        checksums.record(job.connection, phase, deployed_by=job.provenance.who, details=facts)
    job.observer.note(
        f"verified in {seconds:.1f} s, recorded as {checksums.short(planned.checksum)}"
    )
    return seconds


def _push(job: Job, planned: PlannedFile, row: int | None) -> tuple[PushError | None, Watch]:
    """One try. Ctrl-C ends the CLI and its statement, and takes the begun record back."""
    options, concurrent = job.options, planned.file.concurrent
    limit = None if concurrent else options.lock_timeout
    failure: PushError | None = None
    try:
        with _told_by_row(job), watching(job.connection, limit, job.observer.note) as watch:
            try:
                push(
                    job.database_url,
                    time_zone=options.time_zone if job.direct else None,
                    defer_backfill=options.defer_backfill and job.direct,
                    through=planned.file.version,
                    expected=job.expected,
                )
            except PushError as error:
                failure = error
    except (KeyboardInterrupt, MeterledgerError):
        _take_back(job, planned, row)
        raise
    if failure is not None and lost_connection(failure) and not _answers(job.connection):
        raise explain(failure, planned.file) from failure
    if watch.lost:
        raise lost()
    if failure is not None and failure.sqlstate is None:
        # The CLI was killed or cut off, which does not end what it had the server do.
        wait, note = options.wait, job.observer.note
        guard.require_quiet(job.connection, [planned.file], wait=wait, note=note)
    return failure, watch


@contextmanager
def _told_by_row(job: Job) -> Iterator[None]:
    """Behind a pooler, ledger.settings says what start-up options say on a direct connection.

    A deferral is taken back afterwards: it is meant for this deploy. Killed in between, it
    stays, which leaves the data to batches: the careful side.
    """
    options = job.options
    there = checksums.exists(job.connection)  # made by the same file as the settings
    if job.direct or not there:
        yield
        return
    if options.time_zone is not None:
        job.connection.execute(
            "update ledger.settings set time_zone = %(zone)s"
            " where time_zone is distinct from %(zone)s",
            {"zone": options.time_zone},
        )
    deferred = options.defer_backfill and job.connection.execute(
        "update ledger.settings set defer_backfill = true where not defer_backfill returning true"
    ).fetchone() == (True,)
    try:
        yield
    finally:
        if deferred:
            with suppress(psycopg.Error):
                job.connection.execute("update ledger.settings set defer_backfill = false")


def _take_back(job: Job, planned: PlannedFile, row: int | None) -> None:
    """What was begun was not done; where that cannot be said now, the next deploy looks."""
    with suppress(psycopg.Error):
        if row is not None and planned.file.version not in read_state(job.connection).history:
            checksums.forget(job.connection, row)


def _begin(job: Job, planned: PlannedFile) -> int | None:
    """Leave the name of what is begun, for whoever finds this deploy killed."""
    if not checksums.exists(job.connection):
        return None
    details = job.provenance.details(**{checksums.UNFINISHED: True})
    return checksums.record(
        job.connection, phase_of(planned), deployed_by=job.provenance.who, details=details
    )


def _gave_way(failure: PushError, watch: Watch) -> bool:
    """Whether it failed only because somebody else was at work."""
    state = failure.sqlstate
    return state in (LOCK_TIMEOUT, DEADLOCK) or (state == CANCELLED and watch.cancelled)


def _applied_meanwhile(job: Job, planned: PlannedFile) -> bool:
    try:
        return planned.file.version in read_state(job.connection).history
    except psycopg.Error as error:
        raise lost() from error


def _answers(connection: Connection) -> bool:
    try:
        connection.execute("select 1")
    except psycopg.Error:
        return False
    return True


def _pause(job: Job, attempt: int, seconds: float, blockers: tuple[str, ...]) -> None:
    """Hold nothing for a while, longer each time, so that whoever waits gets through."""
    pause = min(job.options.pause * 2 ** (attempt - 1), _LONGEST_PAUSE_SECONDS)
    held = f" that {', '.join(blockers)} held" if blockers else ""
    job.observer.note(
        f"gave way after {seconds:.1f} s to a lock{held}; attempt {attempt + 1} of "
        f"{job.options.retries} in {pause:g} s"
    )
    until = time.monotonic() + pause
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _HEARTBEAT_SECONDS))
        job.lock.require_held()


def _clear_away(job: Job, planned: PlannedFile) -> None:
    """Drop what a cut-off concurrent build left: `if not exists` would take it for the index."""
    names = [
        match["name"]
        for one in planned.file.statements
        if one.words[:1] == ("create",) and (match := _BUILT_INDEX.search(one.text))
    ]
    if not planned.file.concurrent or not names:
        return
    try:
        for schema, name in job.connection.execute(_LEFT_BEHIND, (names,)).fetchall():
            job.connection.execute(
                sql.SQL("drop index concurrently if exists {}").format(sql.Identifier(schema, name))
            )
            job.observer.note(f"dropped {schema}.{name}, which a cut-off build had left invalid")
    except psycopg.Error as error:
        raise OperationalError(
            f"the invalid index that a cut-off build left cannot be dropped: "
            f"{error.diag.message_primary or error}",
            next_step="drop it yourself (drop index concurrently …), then deploy again",
        ) from error
