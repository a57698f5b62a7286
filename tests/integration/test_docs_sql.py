"""Every statement of SQL in the documentation runs on a migrated database, and is taken back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.database import Connection, Database
from tests.support.doc_pages import Piece, blocks, pages, spans
from tests.support.events import shared_database
from tests.support.servers import Databases, Template, default_major
from toolkit.bootstrap import StartingPoint

# A span between words is a statement if it begins like one and ends as one.
STATEMENT = re.compile(r"(select|update|insert|delete|alter|revoke|grant|analyze) .*;", re.S)
PAGES = [page for page in pages() if "decisions" not in page.parts]


@pytest.fixture(scope="module")
def database(databases: Callable[[int], Databases]) -> Iterator[Database]:
    template = Template(StartingPoint.DUAL_WRITE, migrated=True)
    yield from shared_database(databases(default_major()), template)


@pytest.fixture
def transaction(database: Database) -> Iterator[Connection]:
    with database.connect() as connection:
        # As psql and an app find the names; a run of the migration is the next one's number.
        connection.execute("set local search_path = public")
        connection.execute("alter table ledger.migration_runs alter run_id restart with 1")
        connection.execute("truncate ledger.migration_runs")
        yield connection
        connection.rollback()


def statements(page: Path) -> list[Piece]:
    # `…` stands for a value of the reader's.
    inline = [s for s in spans(page) if STATEMENT.fullmatch(s.text) and "…" not in s.text]
    return [
        *(block for block in blocks(page) if block.language == "sql"),
        *inline,
    ]


@pytest.mark.parametrize("piece", [piece for page in PAGES for piece in statements(page)], ids=str)
def test_it_runs(transaction: Connection, piece: Piece) -> None:
    transaction.execute(piece.text.encode())


def test_there_are_statements_in_blocks_and_between_words() -> None:
    found = [piece.language for page in PAGES for piece in statements(page)]
    assert found.count("sql") > 5
    assert found.count("") > 5


def test_a_column_that_is_not_there_is_found(transaction: Connection, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sql\nselect reasons from ledger.migration_rejects;\n```\n")
    (piece,) = statements(page)
    with pytest.raises(psycopg.errors.UndefinedColumn):
        transaction.execute(piece.text.encode())
