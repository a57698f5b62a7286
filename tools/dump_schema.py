"""Writes tests/migrations/schema.sql: the schema that the migrations reach from an empty database.

    python -m tools.dump_schema            # after a migration changed; look at the diff, commit it

Only what a reader and a comparison need: pg_dump's words without its version, settings and owners.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from toolkit.connection import parse
from toolkit.local.binaries import Binaries, find_binaries
from toolkit.local.temporary import temporary_server
from toolkit.rollout import push

MAJOR = 17
COMMITTED = Path(__file__).parents[1] / "tests" / "migrations" / "schema.sql"
HEADER = (
    "-- The schemas public and ledger as the migrations make them in an empty database of\n"
    "-- Supabase's shape. Written by python -m tools.dump_schema; a test compares.\n"
)
# What may hold anything, a function's body or a quoted string, and what is left out.
_KEPT = r"\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|'(?:[^']|'')*'"
_NOISE = r"^(?:--|SET |SELECT pg_catalog\.set_config|\\restrict |\\unrestrict )[^\n]*$"
_WORDS = re.compile(f"(?P<kept>{_KEPT})|(?P<noise>{_NOISE})", re.S | re.M)
_ENDS = re.compile(f"(?:{_KEPT})|(?P<end>;\n)", re.S)


def dump(database_url: str, binaries: Binaries) -> str:
    """The schemas public and ledger of a database, as pg_dump says them, normalised.

    Args:
        database_url: as the owner; the password goes by the environment.
        binaries: of PostgreSQL 17, so that the words are always the same.
    """
    parts = parse(database_url)
    done = subprocess.run(
        [
            binaries.tool("pg_dump"),
            "--schema-only",
            "--schema=public",
            "--schema=ledger",
            "--no-owner",
            f"--host={parts['host']}",
            f"--port={parts['port']}",
            f"--username={parts['user']}",
            parts["dbname"],
        ],
        env={"PGPASSWORD": parts["password"], "PGSSLMODE": "disable"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return normalise(done.stdout)


def normalise(text: str) -> str:
    """Without pg_dump's remarks and settings, and without runs of empty lines."""
    useful = _WORDS.sub(lambda match: match["kept"] or "", text)
    return re.sub(r"\n{3,}", "\n\n", useful).strip() + "\n"


def statements(text: str) -> list[str]:
    """The statements of a dump, in its order."""
    text, start = normalise(text), 0
    found = []
    for match in _ENDS.finditer(text):
        if match["end"]:
            found.append(text[start : match.end()].strip())
            start = match.end()
    return [*found, *([text[start:].strip()] if text[start:].strip() else [])]


def main() -> None:
    """Push into an empty database of a server that is thrown away, and write what came of it."""
    binaries = find_binaries(major=MAJOR)
    with temporary_server(binaries=binaries) as server:
        server.create_database("empty")
        push(server.url("empty"))
        COMMITTED.write_text(HEADER + dump(server.url("empty"), binaries), "utf-8")
    sys.stdout.write(f"wrote {COMMITTED.relative_to(Path.cwd())}\n")


if __name__ == "__main__":
    main()
