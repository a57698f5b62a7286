"""Runs a deploy: the guards, then file by file, under one lock."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import psycopg

from toolkit.connection import connect, describe, redact
from toolkit.environments import record as environment_record
from toolkit.environments.way import Way
from toolkit.errors import MeterledgerError, OperationalError
from toolkit.operations.deploy import guard
from toolkit.operations.deploy.apply import Job, apply_file, hold
from toolkit.operations.deploy.lock import APPLICATION, at, deploy_lock
from toolkit.operations.deploy.options import AppliedFile, DeployOptions, DeployReport, Observer
from toolkit.operations.deploy.plan import DeployPlan, Status, make_plan, read_state
from toolkit.operations.deploy.provenance import provenance
from toolkit.rollout import checksums
from toolkit.rollout.inspect import MigrationFile, inspect_folder
from toolkit.settings import LOCAL

_POLL_SECONDS = 0.2


def plan_deploy(
    database_url: str | None, *, through: str | None = None, environment: str = LOCAL
) -> DeployPlan:
    """What a deploy would do; connects read-only, or not at all.

    Args:
        database_url: any connection of a role that reads the ledger; None: the files alone.
        through: the last version to apply; None: all.
        environment: the name that the database must not contradict.

    Raises:
        UsageError: there is no such version, or the database is another environment.
        OperationalError: no connection.
    """
    files = inspect_folder()
    if database_url is None:
        return make_plan(files, None, through=through)
    try:
        with connect(database_url, application_name=f"{APPLICATION} --plan") as connection:
            connection.execute("set transaction read only")
            guard.require_environment(connection, environment)
            plan = make_plan(files, read_state(connection), through=through)
            return replace(plan, rows_at_once=guard.rows_at_once(connection, plan))
    except psycopg.Error as error:
        raise _refused(error) from error


def run_deploy(database_url: str, options: DeployOptions, observer: Observer) -> DeployReport:
    """Apply the files that the database has not had, each verified and recorded.

    Safe to run again at any time: it continues where another one was stopped or killed.

    Args:
        database_url: a direct or session connection, as the owner.
        options: how.
        observer: is told each step, and each result with its seconds.

    Raises:
        UsageError: the URL cannot be parsed, there is no such version, the database says
            that it is another environment, or many rows would move in one transaction.
        FindingsError: a file must not be pushed, was edited after it was applied or is not the
            one vouched for, or does not hold after it was pushed.
        OperationalError: no CLI, no connection, a transaction pooler, a read-only server,
            another deploy, an earlier push that still works, or a file that failed.
    """
    started = time.monotonic()
    observer.step("guard")
    files = inspect_folder()
    planned = make_plan(files, None, through=options.through)
    guard.require_pushable(planned)
    guard.require_vouched(planned, options.vouched)
    facts = provenance()
    direct = guard.require_way(database_url) is Way.DIRECT
    try:
        with deploy_lock(database_url) as lock:
            expected = {one.file.version: one.checksum for one in planned.files}
            job = Job(database_url, lock, options, observer, facts, direct, expected)
            return _deploy(job, files, started)
    except MeterledgerError:
        raise
    except psycopg.Error as error:
        raise _refused(error) from error


def _deploy(job: Job, files: Sequence[MigrationFile], started: float) -> DeployReport:
    options, observer, connection = job.options, job.observer, job.connection
    guard.require_writable(connection)
    guard.require_environment(connection, options.environment)
    _settle(job)
    guard.require_quiet(connection, files, wait=options.wait, note=observer.note)
    plan = make_plan(files, read_state(connection), through=options.through)
    guard.require_pushable(plan)
    guard.require_vouched(plan, options.vouched)
    guard.require_few_at_once(guard.rows_at_once(connection, plan), options)
    observer.note(f"guarded in {time.monotonic() - started:.1f} s, the lock is held")
    continued = _take_over(job)
    adopted = _adopt(job, plan)
    applied: list[AppliedFile] = []
    for planned in plan.pending:
        observer.step(planned.file.path.stem)
        applied.append(apply_file(job, planned))
        _name(job)  # from the first file on, so that a mix-up of environments stops early
        if len(applied) == 1 and not adopted:
            # The ledger may only now exist: what was applied before it is recorded after it.
            adopted = _adopt(job, plan)
    _name(job)
    return DeployReport(
        environment=options.environment,
        database=describe(job.database_url),
        applied=tuple(applied),
        adopted=tuple(adopted),
        continued=continued,
        left=tuple(p.file.version for p in plan.files if p.status is Status.LATER),
        seconds=time.monotonic() - started,
    )


def _settle(job: Job) -> None:
    """The CLI of a deploy that was killed a moment ago may not have reached the server yet."""
    told = False
    until = time.monotonic() + job.options.settle
    while time.monotonic() < until:
        fresh = job.connection.execute(
            "select clock_timestamp() - make_interval(secs => %s)", (job.options.settle,)
        ).fetchone()
        history = read_state(job.connection).history
        begun = [one for one in checksums.begun(job.connection) if one.version not in history]
        if fresh is None or not any(one.begun_at > fresh[0] for one in begun):
            return
        if not told:
            told = True
            job.observer.note("a deploy was cut off moments ago; giving its CLI time to appear")
        time.sleep(_POLL_SECONDS)


def _take_over(job: Job) -> tuple[str, ...]:
    """Say what killed deploys had begun; the records of what was never applied go."""
    history = read_state(job.connection).history
    versions = []
    for one in checksums.begun(job.connection):
        applied = one.version in history
        job.observer.note(
            f"a deploy of {one.deployed_by} was cut off at {one.version} ({at(one.begun_at)}), "
            + ("after it was applied" if applied else "before it was applied; continuing")
        )
        versions.append(one.version)
        if not applied:
            checksums.forget(job.connection, one.deployment_id)
    return tuple(dict.fromkeys(versions))


def _adopt(job: Job, plan: DeployPlan) -> list[str]:
    """Verify and record what is applied and was never recorded."""
    if not plan.adoptable or not checksums.exists(job.connection):
        return []
    state = read_state(job.connection)
    job.observer.step("adopt")
    for planned in plan.adoptable:
        version = planned.file.version
        rows = [one.deployment_id for one in state.begun if one.version == version]
        job.observer.note(f"{planned.file.path.stem}: applied, and recorded by nobody yet")
        compared = state.history.get(version) is not None
        hold(job, planned, rows[-1] if rows else None, adopted=True, compared=compared)
        for row in rows[:-1]:
            checksums.forget(job.connection, row)
    return [planned.file.version for planned in plan.adoptable]


def _name(job: Job) -> None:
    """The database remembers which environment it is, once it has the place for that."""
    name = job.options.environment
    history = read_state(job.connection).history
    place = job.connection.execute(
        "select true from pg_catalog.pg_attribute as a where a.attname = 'environment'"
        " and a.attrelid = to_regclass('ledger.settings') and not a.attisdropped"
    ).fetchone()
    if name == LOCAL or place is None or not history:
        return
    if environment_record.recorded(job.connection) is None:
        environment_record.record(job.connection, name)
        job.observer.note(f"the database says from now on that it is {name}")


def _refused(error: psycopg.Error) -> OperationalError:
    """The words for a server that goes away or refuses in the middle of a guard."""
    state = f" ({error.sqlstate})" if error.sqlstate else ""
    return OperationalError(
        f"the deploy stopped: {redact(str(error.diag.message_primary or error)).strip()}{state}",
        next_step="see that the server runs and that the role owns the ledger, then deploy again: "
        "it continues where this one was",
    )
