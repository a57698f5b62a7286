"""Real dumps of real databases, for the tests of the rehearsal."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.support.database import Database
from tests.support.servers import binaries_of, default_major
from toolkit import settings
from toolkit.local.binaries import Binaries, find_binaries

ODD_NOTES = (
    "emoji \U0001f4a1 and ümlaut",
    'it\'s "quoted", $$dollared$$, $_$twice$_$',
    "two\nlines\tand a tab",
    "--\n-- Name: fake; Type: TABLE; Schema: public; Owner: me\n--\n\nDROP TABLE public.x;",
    "\\.\n\\.",
    "\\connect postgres\n\\N",
    "/* open",
    "E'\\'",
    "-- PostgreSQL database dump complete\n--",
    "",
    "\r\n",
)


@dataclass(frozen=True)
class Way:
    """One way to make a dump.

    Attributes:
        name: for the test's id.
        options: of pg_dump.
        gzipped: whether the file is compressed afterwards.
    """

    name: str
    options: tuple[str, ...] = ()
    gzipped: bool = False


CUSTOM = Way("custom", ("--format=custom",))
PLAIN = Way("plain")
WAYS = (
    CUSTOM,
    PLAIN,
    Way("custom-gzip", ("--format=custom",), gzipped=True),
    Way("custom-verbose", ("--format=custom", "--verbose")),
    Way("directory", ("--format=directory",)),
    Way("tar", ("--format=tar",)),
    Way("plain-gzip", gzipped=True),
    Way("plain-verbose", ("--verbose",)),
    Way("inserts", ("--inserts",)),
    Way("column-inserts", ("--column-inserts",)),
    Way("rows-per-insert", ("--rows-per-insert=3",)),
    Way("clean-create", ("--clean", "--create", "--if-exists")),
    Way("no-owner", ("--no-owner",)),
    Way("quote-all-identifiers", ("--quote-all-identifiers",)),
    Way("session-authorization", ("--use-set-session-authorization",)),
)


def dump_tools() -> Binaries:
    """pg_dump and pg_restore; not every package of a server brings them."""
    found = binaries_of(default_major())
    if (found.bindir / "pg_dump").is_file():
        return found
    return find_binaries(major=17)


def fill_app(database: Database, users: int = 3) -> None:
    """Fill a dual-write database: readings with odd notes, events, a batch."""
    for number in range(users):
        database.add_user(f"user{number}@example.test")
    numbered = [(day, day * 1.25, note) for day, note in enumerate(ODD_NOTES)]
    with database.connect() as connection:
        connection.cursor().executemany(
            "insert into public.electricity_readings (user_id, date, kwh_value, notes)"
            " select id, date '2026-01-01' + %s::int, %s, %s from public.user_profiles",
            numbered,
        )
        connection.cursor().executemany(
            "insert into public.token_events (user_id, event_type, event_date, kwh_amount, notes)"
            " select id, 'METER_READING', date '2026-01-01' + %s::int, %s, %s"
            " from public.user_profiles",
            numbered,
        )
        connection.execute(
            "insert into public.recalculation_batches"
            " (user_id, trigger_type, affected_events, events_count)"
            " select user_id, 'EDIT_TOPUP', jsonb_build_array(jsonb_build_object('note', notes)), 1"
            " from public.token_events"
        )


def make_dump(database: Database, tools: Binaries, folder: Path, way: Way, *more: str) -> Path:
    """Dump a database with the real pg_dump, as the superuser."""
    path = folder / f"{way.name}.dump"
    subprocess.run(
        [tools.tool("pg_dump"), *way.options, *more, f"--file={path}", database.admin_url],
        check=True,
        capture_output=True,
        env=settings.child_environment(),
    )
    if not way.gzipped:
        return path
    packed = path.with_suffix(".gz")
    with path.open("rb") as plain, gzip.open(packed, "wb") as target:
        shutil.copyfileobj(plain, target)
    return packed


def contents(database: Database, tools: Binaries, schemas: Iterable[str] = ("public",)) -> str:
    """What pg_dump says of schemas, rows and grants included: two copies say the same."""
    answer = subprocess.run(
        [
            tools.tool("pg_dump"),
            "--no-comments",
            *(f"--schema={schema}" for schema in schemas),
            database.admin_url,
        ],
        check=True,
        capture_output=True,
        text=True,
        env=settings.child_environment(),
    ).stdout
    # The first and last lines carry a random word; a server from 17.12 on numbers its columns, and
    # an older pg_dump tells.
    noise = ("restrict ", "pg_attver")
    return "\n".join(
        line for line in answer.splitlines() if not any(word in line for word in noise)
    )
