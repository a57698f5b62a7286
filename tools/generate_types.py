"""Writes supabase/types: what the API's tables, views and functions take and give.

    python -m tools.generate_types         # after a migration changed; look at the diff, commit it

The Supabase CLI generates them from an empty database that the migrations were pushed to.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from toolkit.local.binaries import find_binaries
from toolkit.local.temporary import temporary_server
from toolkit.rollout import push
from toolkit.settings import child_environment

MAJOR = 17
_CHECKOUT = Path(__file__).parents[1]
_CLI = _CHECKOUT / "node_modules" / ".bin" / "supabase"
FILES = {
    "typescript": _CHECKOUT / "supabase" / "types" / "database.ts",
    "python": _CHECKOUT / "supabase" / "types" / "database.py",
}
_QUIET = ("SUPABASE_TELEMETRY_DISABLED", "DO_NOT_TRACK", "SUPABASE_NO_UPDATE_NOTIFIER")
_MARKS = {"typescript": "//", "python": "#"}


def generate(database_url: str, language: str) -> str:
    """The types of the schema public, as the CLI writes them.

    Args:
        database_url: as the owner.
        language: typescript or python.
    """
    done = subprocess.run(
        [_CLI, "gen", "types", "--lang", language, f"--remote={database_url}", "--schema=public"],
        cwd=_CHECKOUT,
        env=child_environment(dict.fromkeys(_QUIET, "1")),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = (line.rstrip() for line in done.stdout.strip().splitlines())
    header = f"{_MARKS[language]} Written by make types; a test compares.\n"
    return header + "\n".join(lines) + "\n"


def main() -> None:
    """Push into an empty database of a server that is thrown away, and write its types."""
    with temporary_server(binaries=find_binaries(major=MAJOR)) as server:
        server.create_database("empty")
        push(server.url("empty"))
        for language, path in FILES.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(generate(server.url("empty"), language), "utf-8")
            sys.stdout.write(f"wrote {path.relative_to(_CHECKOUT)}\n")


if __name__ == "__main__":
    main()
