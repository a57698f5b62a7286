"""Writes docs/reference: the commands from their --help, the schema from its comments.

make reference        # after a command or a migration changed; look at the diff, commit it
"""

from __future__ import annotations

import sys
from pathlib import Path

from toolkit.connection import connect
from toolkit.local.binaries import find_binaries
from toolkit.local.temporary import temporary_server
from toolkit.rollout import push
from tools.command_reference import command_reference
from tools.schema_reference import schema_reference

MAJOR = 17
_FOLDER = Path(__file__).parents[1] / "docs" / "reference"
COMMANDS, SCHEMA = _FOLDER / "commands.md", _FOLDER / "schema.md"


def main() -> None:
    """Push into an empty database of a server that is thrown away, and write what it says."""
    _FOLDER.mkdir(exist_ok=True)
    COMMANDS.write_text(command_reference(), "utf-8")
    with temporary_server(binaries=find_binaries(major=MAJOR)) as server:
        server.create_database("empty")
        push(server.url("empty"))
        with connect(server.url("empty")) as connection:
            SCHEMA.write_text(schema_reference(connection), "utf-8")
    for path in (COMMANDS, SCHEMA):
        sys.stdout.write(f"wrote {path.relative_to(_FOLDER.parents[1])}\n")


if __name__ == "__main__":
    main()
