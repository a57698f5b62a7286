"""A backup in a test: nobody is told, and its pg_dump can be kept waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg

from tests.support.processes import wait_until
from toolkit.connection import connect
from toolkit.operations.backup import make
from toolkit.operations.backup.dump import dumping


class Silent:
    """Takes notes, shows nothing."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def step(self, name: str) -> None:
        """Nothing."""

    def progress(self, done: int, total: int) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Kept."""
        self.notes.append(text)


def pg_dump_must_wait(url: str, replace: Callable[[object, str, Any], None] = setattr) -> None:
    """Have pg_dump wait behind somebody who wants the table to himself.

    The backup holds the table already; the other one waits for that, and pg_dump behind him.

    Args:
        url: of the database.
        replace: monkeypatch's setattr, or the built-in one in a process of its own.
    """
    original = dumping

    def waiting(*arguments: Any) -> Any:  # noqa: ANN401 - passed through
        threading.Thread(target=_want_the_table, args=(url,), daemon=True).start()
        with connect(url, autocommit=True) as connection:

            def queued() -> bool:
                row = connection.execute(
                    "select count(*) from pg_locks where not granted"
                    " and relation = 'public.user_profiles'::regclass"
                ).fetchone()
                return row != (0,)

            wait_until(queued)
        return original(*arguments)

    replace(make, "dumping", waiting)


def _want_the_table(url: str) -> None:
    try:
        with connect(url) as connection:
            connection.execute("lock table public.user_profiles in access exclusive mode")
            connection.rollback()
    except psycopg.Error:
        return


def waits_as_pg_dump(connection: psycopg.Connection[Any]) -> list[int]:
    """Server processes of a pg_dump that waits for a lock in this database."""
    return [
        int(pid)
        for (pid,) in connection.execute(
            "select pid from pg_stat_activity where datname = current_database()"
            " and wait_event_type = 'Lock' and application_name = 'meterledger backup'"
        )
    ]
