"""A PostgreSQL server in a folder: `Server(home).start()`, and it has Supabase's shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from psycopg import sql

from toolkit.bootstrap import DefaultPrivileges, bootstrap
from toolkit.connection import connect
from toolkit.errors import OperationalError, UsageError
from toolkit.local import process
from toolkit.local.account import Account, remove_tree
from toolkit.local.binaries import Binaries, find_binaries
from toolkit.local.cluster import (
    ADMIN_ROLE,
    BASE_SETTINGS,
    HOST,
    create_cluster,
    data_major,
    discard_unfinished,
    set_password,
    write_configuration,
)
from toolkit.local.location import DATA, POINTER_FILE, existing_folders, work_folder
from toolkit.local.publish import reachable
from toolkit.local.report import Started, Status
from toolkit.local.state import LOCK_FILE, STATE_FILE, State, locked, read_state, write_state

LOG_FILE = "server.log"
CONFIGURATION_FILE = "server.conf"
DATABASE = "postgres"
_PASSWORD_ROLES = ("postgres", "authenticator")
_PORT_TRIES = 5


class Server:
    """A server of one's own, listening on 127.0.0.1 only, with generated passwords.

    Every command may be repeated, killed at any moment, and given again.
    """

    def __init__(
        self,
        home: Path,
        *,
        binaries: Binaries | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Name a server; nothing is touched yet.

        Args:
            home: its folder, made by start().
            binaries: PostgreSQL's programs; found when they are needed if left out.
            settings: on top of BASE_SETTINGS, for example {"fsync": "off"}.
        """
        self.home = home.absolute()
        self._binaries = binaries
        self._settings = dict(settings or {})
        self._account = Account.current()

    @property
    def binaries(self) -> Binaries:
        """PostgreSQL's programs; psql and pg_restore are at `.binaries.tool(name)`."""
        if self._binaries is None:
            self._binaries = find_binaries()
        return self._binaries

    def start(self, port: int | None = None) -> Started:
        """Make the data folder where there is none, start the server, and give it its shape.

        Args:
            port: the port it must have; left out: the last one, or a free one.

        Raises:
            UsageError: it runs on another port than the one asked for.
            OperationalError: the port is taken, the disk is full, the data folder is of
                another version, and so on; the next start begins cleanly.
        """
        self._account.make_folder(self.home)
        with locked(self.home):
            state = read_state(self.home)
            self._forget_abandoned(state)
            work = work_folder(self.home, self._account)
            found = process.find(work / DATA)
            if found is not None and found.ready and state is not None:
                return self._resume(found, state, port)
            notes = [self.binaries.note] if self.binaries.note else []
            state = self._prepare(work, state)
            state = self._launch(work, state, port, notes)
            self._give_shape(state)
            return Started(False, _known(state.port), tuple(notes))

    def stop(self) -> bool:
        """End the server; False when it was not running."""
        if not self.home.is_dir():
            return False
        with locked(self.home):
            stopped = [_stop(work / DATA) for work in self._existing()]
            return any(stopped)

    def destroy(self, *, keep_folder: bool = False) -> None:
        """End the server and delete all that it made, data included."""
        if not self.home.is_dir():
            return
        with locked(self.home):
            for work in {self.home, *existing_folders(self.home, self._account)}:
                _stop(work / DATA)
                discard_unfinished(work)
                remove_tree(work / DATA)
                for name in (LOG_FILE, CONFIGURATION_FILE):
                    (work / name).unlink(missing_ok=True)
                if work != self.home:
                    remove_tree(work)
            (self.home / POINTER_FILE).unlink(missing_ok=True)
            for path in self.home.glob(f"{STATE_FILE}*"):
                path.unlink(missing_ok=True)
        if not keep_folder:
            (self.home / LOCK_FILE).unlink(missing_ok=True)
            if not any(self.home.iterdir()):
                self.home.rmdir()

    def running(self) -> bool:
        """Whether it takes connections."""
        return self.status().running

    def status(self) -> Status:
        """Look, and change nothing."""
        work = next(iter(self._existing()), self.home)
        data = work / DATA
        found = process.find(data)
        return Status(
            running=found is not None and found.ready,
            created=data.is_dir(),
            major=_major_or_none(data),
            pid=found.pid if found else None,
            port=found.port if found else None,
            data=data,
            log=work / LOG_FILE,
        )

    def url(self, database: str = DATABASE, user: str = "postgres") -> str:
        """The URL of a role that can log in, with its password; the role that migrates is postgres.

        Raises:
            OperationalError: the server was never started.
        """
        state = read_state(self.home)
        if state is None or state.port is None:
            raise OperationalError(
                "the local server was never started", next_step="run meterledger local start"
            )
        password = state.admin_password if user == ADMIN_ROLE else state.password
        address = f"{HOST}:{state.port}/{quote(database, safe='')}"
        return f"postgresql://{quote(user, safe='')}:{password}@{address}?sslmode=disable"

    def admin_url(self, database: str = DATABASE) -> str:
        """The URL of the superuser supabase_admin."""
        return self.url(database, ADMIN_ROLE)

    def create_database(
        self, name: str, regime: DefaultPrivileges = DefaultPrivileges.GRANT_ALL
    ) -> None:
        """Create a database of Supabase's shape, owned by postgres."""
        with connect(self.admin_url(), autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {} template template0").format(sql.Identifier(name))
            )
        with connect(self.admin_url(name)) as connection:
            bootstrap(connection, regime)

    def _resume(self, found: process.Postmaster, state: State, port: int | None) -> Started:
        """The server runs: finish what a killed start left undone."""
        if port is not None and found.port != port:
            raise UsageError(
                f"the server already runs, on port {found.port}",
                next_step=f"stop it first to have it on port {port}",
            )
        if state.port != found.port:
            state = replace(state, port=found.port)
            write_state(self.home, state)
        if not state.ready:
            self._give_shape(state)
        return Started(True, _known(found.port))

    def _prepare(self, work: Path, state: State | None) -> State:
        """A data folder of the right version and the passwords that belong to it."""
        data = work / DATA
        major = data_major(data)
        if major is not None and major != self.binaries.major:
            raise OperationalError(
                f"the data folder {data} is of PostgreSQL {major}, "
                f"and the programs are of {self.binaries.version}",
                next_step=f"name the folder of a PostgreSQL {major} in METERLEDGER_PG_BINDIR, "
                "or run meterledger local reset (the local data is lost)",
            )
        if major is not None and state is None:
            raise OperationalError(
                f"{self.home / STATE_FILE} is missing, and the server's passwords with it",
                next_step="run meterledger local reset to start afresh (the local data is lost)",
            )
        if state is None or major is None:
            # Before the data folder: one without its passwords would be of no use.
            port = state.port if state else None
            state = State(port=port)
            write_state(self.home, state)
        if major is None:
            create_cluster(
                work,
                reachable(self.binaries.bindir, self._account),
                self.binaries.major,
                self._account,
                state.admin_password,
                durable=self._settings.get("fsync", "on") != "off",
            )
        return state

    def _launch(self, work: Path, state: State, port: int | None, notes: list[str]) -> State:
        """Start on the port asked for, on the last one, or on a free one; remember it."""
        data, configuration = work / DATA, work / CONFIGURATION_FILE
        _stop(data)  # alive and not ready: left from a killed start, or ending
        process.forget_stale(data)
        for _ in range(_PORT_TRIES):
            chosen = process.choose_port(port, state.port, notes)
            state = replace(state, port=chosen)
            values = {**BASE_SETTINGS, **self._settings, "port": str(chosen)}
            write_configuration(configuration, values, self._account)
            try:
                bindir = reachable(self.binaries.bindir, self._account)
                process.launch(bindir, data, configuration, work / LOG_FILE, self._account)
            except process.PortTakenError:
                if port is not None:
                    raise
                continue
            write_state(self.home, state)
            return state
        raise OperationalError(
            f"{_PORT_TRIES} free ports in turn were taken by other programs",
            next_step="try again, or name a port with --port",
        )

    def _give_shape(self, state: State) -> None:
        """Bootstrap the first database and set the passwords; then the server counts as ready."""
        if state.ready:
            return
        with connect(self.admin_url()) as connection:
            # The state will say that this is done, so a killed server must not forget it.
            connection.execute("set local synchronous_commit = on")
            bootstrap(connection)
            for role in _PASSWORD_ROLES:
                set_password(connection, role, state.password)
        write_state(self.home, replace(state, ready=True))

    def _forget_abandoned(self, state: State | None) -> None:
        """Drop data outside whose project was deleted, and the passwords for it too."""
        if state is not None or (self.home / POINTER_FILE).exists():
            return
        for work in self._existing():
            if work != self.home:
                _stop(work / DATA)
                remove_tree(work)

    def _existing(self) -> list[Path]:
        return existing_folders(self.home, self._account) if self.home.is_dir() else []


def _stop(data: Path) -> bool:
    found = process.find(data)
    if found is None:
        return False
    process.stop(found, data)
    return True


def _major_or_none(data: Path) -> int | None:
    """The version for a look, which must not fail on what start() and reset repair."""
    try:
        return data_major(data)
    except OperationalError:
        return None


def _known(port: int | None) -> int:
    if port is None:
        raise OperationalError(
            "the server runs and its port is not known", next_step="stop it and start it again"
        )
    return port
