"""What a dump turns out to hold, entry by entry: the app's tables, grants, owners."""

from __future__ import annotations

from toolkit.errors import MeterledgerError, UsageError
from toolkit.rehearse.select import NEEDED_TABLES
from toolkit.rehearse.toc import Header

_FULL_DUMP = "make a dump of the whole database: pg_dump --format=custom --file=app.dump URL"
_OWNED = frozenset({"FUNCTION", "MATERIALIZED VIEW", "SEQUENCE", "TABLE", "VIEW"})


class Contents:
    """Notes taken from the headers.

    Attributes:
        empty: nothing was noted yet.
        has_grants: the dump carries grants on the user's objects.
        owners: the roles that own the user's objects in public, but postgres.
    """

    def __init__(self) -> None:
        self.empty = True
        self.has_grants = False
        self.owners: set[str] = set()
        self._tables: set[str] = set()
        self._views: set[str] = set()
        self._has_tables = False

    def note(self, header: Header) -> None:
        """Take note of an entry.

        Raises:
            UsageError: rows come, and the app's tables did not: pg_dump writes all tables
                before the first row.
        """
        self.empty = False
        if header.type == "TABLE DATA":
            if not self._has_tables:
                raise UsageError(
                    "the dump holds rows only (--data-only), without the tables",
                    next_step=_FULL_DUMP,
                )
            self.check()
        self._has_tables = self._has_tables or header.type == "TABLE"
        if header.schema == "public":
            self._note_public(header)

    def check(self) -> None:
        """Whether the tables of the app are there.

        Raises:
            UsageError: one is missing, or a view has taken its place.
        """
        missing = [table for table in NEEDED_TABLES if table not in self._tables]
        if missing:
            raise self._without(missing)

    def _note_public(self, header: Header) -> None:
        if header.type == "TABLE":
            self._tables.add(header.name)
        elif header.type == "VIEW":
            self._views.add(header.name)
        elif header.type in {"ACL", "DEFAULT ACL"}:
            self.has_grants = True
        if header.type in _OWNED and header.owner not in {"", "-", "postgres"}:
            self.owners.add(header.owner)

    def _without(self, missing: list[str]) -> MeterledgerError:
        if "electricity_readings" in self._views:
            return UsageError(
                "public.electricity_readings is a view in the dump: it was made after the cutover",
                next_step="rehearse on a dump from before the cutover",
            )
        names = " and ".join(f"public.{name}" for name in missing)
        return UsageError(
            f"the dump has no table {names}",
            next_step="check that it is of the app's database; leave out --table, "
            "--exclude-table and --schema options other than --schema=public",
        )
