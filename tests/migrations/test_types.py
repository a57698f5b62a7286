"""The generated types that are committed are those of the schema that the migrations reach."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from tools.generate_types import FILES, MAJOR, generate


@pytest.mark.parametrize("language", FILES)
def test_the_committed_types_are_current(make_database: MakeDatabase, language: str) -> None:
    """If this fails: make types, look at the diff, commit it."""
    database = make_database(StartingPoint.EMPTY, migrated=True, major=MAJOR)
    assert generate(database.url, language) == FILES[language].read_text("utf-8")


def test_the_python_types_can_be_imported() -> None:
    code = "import database; database.PublicTokenEvents.model_fields['kwh_amount']"
    subprocess.run([sys.executable, "-c", code], cwd=FILES["python"].parent, check=True, timeout=60)
