"""Finds the SQL that the toolkit carries: in a checkout, or inside the installed wheel."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from toolkit.errors import OperationalError

_PACKAGE = Path(__file__).resolve().parent


@cache
def supabase_folder() -> Path:
    """The folder with config.toml, migrations/, rollbacks/ and verify/.

    Raises:
        OperationalError: neither the checkout nor the wheel has it.
    """
    for folder in (_PACKAGE / "_supabase", _PACKAGE.parent / "supabase"):
        if (folder / "migrations").is_dir():
            return folder
    raise OperationalError(
        "the migrations are missing from this installation",
        next_step="install meterledger again, from its wheel or from a complete checkout",
    )


@cache
def statement(name: str) -> bytes:
    """The one statement of toolkit/sql/<name>.sql, for psycopg's execute().

    Args:
        name: the file's stem, which says the statement's purpose.
    """
    return resources.files("toolkit.sql").joinpath(f"{name}.sql").read_bytes()
