"""Where it is measured: a durable server, a dual-write database, users of known sizes in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.bootstrap import StartingPoint, create_legacy_app
from toolkit.connection import connect
from toolkit.demo.generator import generate
from toolkit.demo.loading import load
from toolkit.demo.model import Spec
from toolkit.local.server import Server
from toolkit.local.temporary import temporary_server
from toolkit.rollout.push import push
from toolkit.trial import LAST_PREPARING_VERSION
from tools.bench.measure import Comparison

Connection = psycopg.Connection[TupleRow]

ZONE = "Asia/Jakarta"
BEFORE, APP = "before", "app"
USERS = {200: 16, 2_000: 16, 20_000: 1}  # rows of a user → how many such users
ROWS_OF_A_HOUSEHOLD = 500
EXTRA_ROWS = sum(size * count for size, count in USERS.items())

# As a small instance has them; what a temporary server of the tests leaves out for speed is on.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "random_page_cost": "1.1",
}


@dataclass
class Stage:
    """A server for one size, and what was measured on it.

    Attributes:
        server: running.
        rows: legacy rows.
        seconds: that clients work in a round.
        rounds: samples of each variant.
        tell: takes a line about what happens.
        found: the comparisons, in order.
        began: when the first writer began, in seconds of the epoch; 0 before.
    """

    server: Server
    rows: int
    seconds: float
    rounds: int
    tell: Callable[[str], None]
    found: list[Comparison] = field(default_factory=list)
    began: float = 0

    def add(self, comparison: Comparison) -> None:
        """Keep it, and tell."""
        self.found.append(comparison)
        ratios = ", ".join(
            f"{variant.name} {comparison.ratio(variant.name):.3g}"
            for variant in comparison.variants
            if variant.name != comparison.baseline
        )
        self.tell(f"{comparison.title}: {ratios} (of {comparison.baseline})")

    def copy_database(self, source: str, target: str) -> None:
        """A copy that nobody has touched, in place of one of that name."""
        self.drop_database(target)
        with connect(self.server.admin_url(), autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template {} owner postgres strategy file_copy").format(
                    sql.Identifier(target), sql.Identifier(source)
                )
            )

    def drop_database(self, name: str) -> None:
        """Nobody's, if it is there."""
        with connect(self.server.admin_url(), autocommit=True) as connection:
            connection.execute(
                sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
            )

    def forget_caches(self) -> None:
        """Restart the server; what the system's cache holds of its files is let go."""
        self.server.stop()
        for file in Path(self.server.home).rglob("*"):
            if file.is_file() and not file.is_symlink():
                descriptor = os.open(file, os.O_RDONLY)
                try:
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(descriptor)
        self.server.start()


def user_id(size: int, number: str = "0") -> str:
    """SQL for the id of a user with so many rows; the number may be a pgbench variable."""
    return f"('00000000-0000-4000-8000-' || lpad(({size}000 + {number})::text, 12, '0'))::uuid"


def random_user(size: int) -> tuple[str, str]:
    """What pgbench prepares, and the id of one of the users of that size, drawn by it."""
    return f"\\set n random(0, {USERS[size] - 1})", user_id(size, ":n")


@contextmanager
def stage(
    rows: int, *, seconds: float, rounds: int, tell: Callable[[str], None]
) -> Iterator[Stage]:
    """A server with the database 'before': everything installed, no data moved yet."""
    with temporary_server(settings=SETTINGS) as server:
        made = Stage(server, rows, seconds, rounds, tell)
        tell("generate")
        server.create_database(BEFORE)
        with connect(server.url(BEFORE)) as connection:
            create_legacy_app(connection, StartingPoint.DUAL_WRITE)
            connection.commit()
        generated = max(rows - EXTRA_ROWS, 0)
        spec = Spec(rows=generated, users=max(generated // ROWS_OF_A_HOUSEHOLD, 50), time_zone=ZONE)
        with connect(server.admin_url(BEFORE)) as connection:
            load(connection, generate(spec))
            for size, count in USERS.items():
                _add_users(connection, size, count)
            connection.commit()
        tell("expand")
        push(server.url(BEFORE), time_zone=ZONE, through=LAST_PREPARING_VERSION)
        yield made


def _add_users(connection: Connection, size: int, count: int) -> None:
    """Users who typed so many readings, one in ten a top-up, over at most twelve years."""
    users = sql.SQL("select {} from generate_series(0, {} - 1) as n").format(
        sql.SQL(user_id(size, "n")), count
    )
    connection.execute(sql.SQL("insert into auth.users (id) {}").format(users))
    connection.execute(
        sql.SQL(
            "insert into public.electricity_readings"
            " (user_id, date, kwh_value, token_amount, token_cost, created_at) "
            "select u.id, d.day, 5 + (n * 37) % 290,"
            " case when n % 10 = 0 then 50 end, case when n % 10 = 0 then 72235 end,"
            " d.day + interval '1 hour' * (n % 20) "
            "from ({}) as u (id) cross join generate_series(1, {}) as n "
            "cross join lateral (select date '2000-01-01' + (n * least(4300.0 / {}, 2))::int)"
            " as d (day) order by u.id, n"
        ).format(users, size, size)
    )
