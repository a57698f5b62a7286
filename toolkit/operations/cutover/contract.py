"""The archived table is emptied, once nobody wants its rows back and a backup holds them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from toolkit.connection import describe, parse
from toolkit.errors import FindingsError, OperationalError
from toolkit.operations.cutover.contract_report import ContractPlan, ContractReport
from toolkit.operations.cutover.report import Standing
from toolkit.operations.cutover.switch import (
    ATTEMPTS,
    LOCK_TIMEOUT_SECONDS,
    Connection,
    reading,
    standing,
    switching,
)
from toolkit.operations.preflight import Options
from toolkit.operations.preflight import Verdict as Grade
from toolkit.operations.preflight.evidence import backup_item
from toolkit.resources import statement
from toolkit.trial import Observer

APPLICATION = "meterledger contract"
GRACE_DAYS = 30


def plan_contract(url: str, options: Options, *, grace_days: int = GRACE_DAYS) -> ContractPlan:
    """What a contract would drop, read in one read-only snapshot.

    Args:
        url: the database, as the owner.
        options: environment, folder of backups and clock, as the checklist takes them.
        grace_days: how long the archive has to be kept after the cutover.

    Raises:
        OperationalError: no connection, or electricity_readings is the table.
    """
    with reading(url, APPLICATION) as (connection, database):
        return _plan(connection, database, url, options, grace_days)


def run_contract(
    url: str,
    options: Options,
    observer: Observer,
    *,
    grace_days: int = GRACE_DAYS,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS,
    attempts: int = ATTEMPTS,
) -> ContractReport:
    """Empty the archived table; its shape stays, since clients' errors carry its names.

    Args:
        url: a direct or session connection, as the owner.
        options: as for plan_contract().
        observer: told of each step and each attempt.
        grace_days: as for plan_contract().
        lock_timeout: seconds that an attempt waits for others.
        attempts: how often it is tried.

    Raises:
        FindingsError: the grace period is not over, no fresh backup, a row that nothing stands for.
        OperationalError: electricity_readings is the table, or other sessions always came first.
        UsageError: the URL is a transaction pooler's.
    """
    with switching(url, APPLICATION, observer, lock_timeout) as switcher:
        observer.step("look for what stands in the way")
        plan = _plan(switcher.connection, describe(url), url, options, grace_days)
        if plan.done:
            return ContractReport(plan, already=True)
        require_over(plan)
        observer.step("contract")
        answer = switcher.run("the contract", "select ledger.contract()", tries=attempts)
        return ContractReport(
            plan, already=False, rows=int(answer["rows"]), attempts=switcher.attempts
        )


def require_over(plan: ContractPlan) -> None:
    """Stop while something speaks for keeping the archive.

    Raises:
        FindingsError: with what it is.
    """
    if plan.obstacles:
        raise FindingsError(
            f"the archive stays: {'; '.join(text for text, _ in plan.obstacles)}",
            next_step="; ".join(dict.fromkeys(step for _, step in plan.obstacles)),
        )


def _plan(
    connection: Connection, database: str, url: str, options: Options, grace_days: int
) -> ContractPlan:
    done = standing(connection)
    if done is None:
        raise OperationalError(
            "electricity_readings is the table that the app reads: there is no archive",
            next_step="cut over first (meterledger cutover), and wait out the grace period",
        )
    row = connection.execute(statement("contract_rows")).fetchone()
    rows, rejected, size = map(int, row) if row is not None else (0, 0, 0)
    obstacles = (
        ()
        if done.contracted_at is not None
        else tuple(_obstacles(connection, done, url, options, grace_days))
    )
    return ContractPlan(database, done, grace_days, rows, rejected, size, obstacles)


def _obstacles(
    connection: Connection, done: Standing, url: str, options: Options, grace_days: int
) -> Iterator[tuple[str, str]]:
    over = done.since + timedelta(days=grace_days)
    if options.now < over:
        yield (
            f"the grace period of {grace_days} days since the cutover ends at "
            f"{over:%Y-%m-%d %H:%M %Z}",
            "wait, or say a shorter one: --grace-days",
        )
    backup = backup_item(options, parse(url).get("dbname"))
    if backup.verdict is not Grade.PASS:
        yield f"no fresh, verified backup: {backup.detail}", backup.next_step
    lost = connection.execute(statement("check_archive_kept")).fetchall()
    if lost:
        yield (
            f"nothing stands for {len(lost):,} archived rows",
            "meterledger validate lists them; report it as a defect",
        )
