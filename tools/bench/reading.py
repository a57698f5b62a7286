"""Reads as PostgREST does them: role and claims set in each transaction, statements prepared."""

from __future__ import annotations

from functools import partial

from psycopg import sql

from toolkit.connection import connect
from tools.bench import pgbench
from tools.bench.measure import Comparison, Load, Variant, loads_in_turns, seconds_of
from tools.bench.stage import APP, USERS, Connection, Stage, random_user, user_id

BARE = "bare mv"
VIEW = "electricity_readings_v"
LIVE = "calculate_user_positions()"
LEGACY = "legacy table"
CLIENTS = (1, 8, 32)

SOURCES = {
    BARE: "select * from bench.bare_mv where user_id = (select auth.uid())"
    " order by date desc, created_at desc limit ROWS",
    VIEW: "select * from public.electricity_readings_v"
    " order by date desc, created_at desc limit ROWS",
    LIVE: "select * from public.calculate_user_positions(USER)"
    " order by event_date desc, created_at desc limit ROWS",
    LEGACY: "select * from public.electricity_readings"
    " order by date desc, created_at desc limit ROWS",
}

# What the app's first screen asks for, TABLE being where it reads.
_DASHBOARD = """select * from TABLE order by date desc, created_at desc limit 1;
select * from TABLE where date >= date '2025-12-01' and date < date '2026-01-01' order by date desc;
select * from TABLE order by date desc limit 1000;
select *, count(*) over () from TABLE order by date desc limit 20"""


def measure(stage: Stage) -> None:
    """Needs APP, migrated and not cut over."""
    _make_bare_mv(stage)
    for clients in CLIENTS:
        _compare(stage, f"read.100.{clients}", size=2_000, limit=100, clients=clients)
    _compare(stage, "read.1000.8", size=2_000, limit=1_000, clients=8)
    for size in USERS:
        if size != 2_000:
            _compare(stage, f"read.size.{size}", size=size, limit=100, clients=1)
    _by_size(stage)
    _dashboard(stage)
    _cold(stage)


def _make_bare_mv(stage: Stage) -> None:
    """The same rows, without row level security, with the index that the question wants."""
    with connect(stage.server.admin_url(APP)) as connection:
        for statement in (
            "drop schema if exists bench cascade",
            "create schema bench",
            "create materialized view bench.bare_mv as"
            " select * from ledger.readings order by user_id, date",
            "create index on bench.bare_mv (user_id, date desc, created_at desc, id desc)",
            "grant usage on schema bench to authenticated",
            "grant select on bench.bare_mv to authenticated",
            "analyze bench.bare_mv",
        ):
            connection.execute(statement.encode())
        connection.commit()


def load(stage: Stage, statement: str, *, size: int, clients: int) -> Load:
    """Clients that read as random users of a size."""
    prepare, user = random_user(size)
    text = pgbench.script(statement, user=user, prepare=prepare)
    return pgbench.run(stage.server, APP, text, clients=clients, seconds=stage.seconds)


def _compare(stage: Stage, key: str, *, size: int, limit: int, clients: int) -> None:
    variants = loads_in_turns(
        {
            name: partial(load, stage, text.replace("ROWS", str(limit)), size=size, clients=clients)
            for name, text in SOURCES.items()
        },
        stage.rounds,
    )
    who = f"{clients} client{'s' if clients > 1 else ''}, users of {size:,} rows"
    stage.add(Comparison(key, f"Newest {limit:,} rows, {who}", stage.rows, "1/s", BARE, variants))


def _by_size(stage: Stage) -> None:
    """The view's cost must not grow with the user's history."""
    text = SOURCES[VIEW].replace("ROWS", "100")
    variants = loads_in_turns(
        {
            f"a user of {size:,} rows": partial(load, stage, text, size=size, clients=1)
            for size in USERS
        },
        stage.rounds,
    )
    title = f"Newest 100 rows through {VIEW}, by the user's history"
    stage.add(Comparison("read.growth", title, stage.rows, "1/s", "a user of 200 rows", variants))


def _dashboard(stage: Stage) -> None:
    positions = ";\n" + SOURCES[LIVE].replace("ROWS", "100")
    texts = {
        LEGACY: _DASHBOARD.replace("TABLE", "public.electricity_readings"),
        VIEW: _DASHBOARD.replace("TABLE", "public.electricity_readings_v"),
        f"{VIEW}, and positions": _DASHBOARD.replace("TABLE", "public.electricity_readings_v")
        + positions,
    }
    variants = loads_in_turns(
        {name: partial(load, stage, text, size=2_000, clients=8) for name, text in texts.items()},
        stage.rounds,
    )
    title = "Dashboard (last reading, a month, last 1,000, page 1 with count), 8 clients"
    stage.add(Comparison("dashboard", title, stage.rows, "1/s", LEGACY, variants))


def _cold(stage: Stage) -> None:
    """The first read of each user after a restart, with nothing of the database in memory."""
    taken: dict[str, list[float]] = {BARE: [], VIEW: [], LEGACY: []}
    names = list(taken)
    for number in range(stage.rounds * len(names)):
        stage.forget_caches()
        name = names[number % len(names)]
        with connect(stage.server.url(APP), autocommit=True) as connection:
            connection.execute("select auth.uid()")
            users = USERS[2_000]
            seconds = 0.0
            for user in range(users):
                with connection.transaction():
                    connection.execute(_claims(user))
                    question = SOURCES[name].replace("ROWS", "100").encode()
                    seconds += _asking(connection, question)
            taken[name].append(seconds / users)
    variants = tuple(Variant(name, tuple(samples)) for name, samples in taken.items())
    title = "Newest 100 rows, cold: mean of the first read of each user of 2,000 rows"
    stage.add(Comparison("read.cold", title, stage.rows, "s", BARE, variants))


def _asking(connection: Connection, question: bytes) -> float:
    return seconds_of(lambda: connection.execute(question).fetchall())


def _claims(user: int) -> sql.Composed:
    return sql.SQL(
        "select set_config('role', 'authenticated', true), set_config('request.jwt.claims',"
        " jsonb_build_object('role', 'authenticated', 'sub', {})::text, true)"
    ).format(sql.SQL(user_id(2_000, str(user))))
