"""The server's process: is it ours, start it, end it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from toolkit import settings
from toolkit.errors import OperationalError
from toolkit.local.account import Account
from toolkit.local.cluster import HOST, explain

START_TIMEOUT_SECONDS = 120.0
STOP_TIMEOUT_SECONDS = 60.0
_POLL_SECONDS = 0.02
_READY = "ready"


class PortTakenError(OperationalError):
    """The port was free when we looked and is not any more."""


@dataclass(frozen=True)
class Postmaster:
    """What postmaster.pid says of a server that is alive.

    Attributes:
        pid: process id.
        port: the port it listens on; None while it is still starting.
        ready: it takes connections.
    """

    pid: int
    port: int | None
    ready: bool


def find(data: Path) -> Postmaster | None:
    """The live server of a data folder; None where postmaster.pid is missing or stale."""
    try:
        lines = (data / "postmaster.pid").read_text("utf-8", "replace").splitlines()
        pid = int(lines[0])
    except (OSError, ValueError, IndexError):
        return None
    if not _is_server_of(pid, data):
        return None
    port = int(lines[3]) if len(lines) > 3 and lines[3].strip().isdigit() else None
    return Postmaster(pid, port, len(lines) > 7 and lines[7].strip() == _READY)


def forget_stale(data: Path) -> None:
    """Remove a postmaster.pid whose number now belongs to another program.

    PostgreSQL clears a dead server's file by itself, and checks its shared memory first;
    but a number that has been given to another process of the same account stops it.
    """
    file = data / "postmaster.pid"
    try:
        pid = int(file.read_text("utf-8", "replace").splitlines()[0])
    except (OSError, ValueError, IndexError):
        return
    if _alive(pid) and not _is_server_of(pid, data):
        file.unlink(missing_ok=True)


def free_port(wanted: int | None = None) -> int | None:
    """`wanted` if nobody listens there, or, with None, a free port of the system's choice."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if wanted is not None:
            # As PostgreSQL binds: connections that linger from our last server don't count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted or 0))
            probe.listen(1)
        except OSError:
            return None
        return int(probe.getsockname()[1])


def choose_port(wanted: int | None, last: int | None, notes: list[str]) -> int:
    """The port asked for, the last one, or a free one; `notes` gets a line where it changes.

    Raises:
        OperationalError: the port asked for is taken.
    """
    if wanted is not None:
        if free_port(wanted) is None:
            raise OperationalError(
                f"port {wanted} of {HOST} is taken by another program, or not allowed",
                next_step="name another with --port, or leave it out to have one chosen",
            )
        return wanted
    if last is not None and free_port(last) is not None:
        return last
    chosen = free_port()
    if chosen is None:
        raise OperationalError(
            f"no port can be opened on {HOST}",
            next_step="check that the loopback interface is up",
        )
    if last is not None:
        notes.append(f"port {last} is taken by another program; using {chosen}")
    return chosen


def launch(bindir: Path, data: Path, configuration: Path, log: Path, account: Account) -> None:
    """Start the server and wait until it takes connections.

    The programs are started without a shell (pg_ctl uses one, and trips over a '$' in
    the project's path), in a session of their own, so that Ctrl-C does not reach them.

    Raises:
        PortTakenError: another program took the port meanwhile.
        OperationalError: the server ended or was not ready in time; its last words are
            in the details. It is not running then.
    """
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        offset = _open_log(log, account)
        child = _spawn(bindir, data, configuration, log, account)
        try:
            ready = _wait_until_ready(child, data, deadline)
        except BaseException:
            _kill(child)
            raise
        if ready:
            return
        words = log_since(log, offset)
        _kill(child)
        # The children of a server that was killed need a moment to notice.
        if "pre-existing shared memory block" in words and time.monotonic() < deadline:
            time.sleep(0.2)
            continue
        error = explain("the server did not start", words)
        if "Address already in use" in words:
            raise PortTakenError(error.message, next_step=error.next_step, details=error.details)
        raise error


def stop(postmaster: Postmaster, data: Path) -> None:
    """End a server: clients are disconnected, data is written; harder when it takes too long.

    Raises:
        OperationalError: it is alive even after a kill.
    """
    for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        _signal(postmaster.pid, how)
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            _reap(postmaster.pid)
            if not _is_server_of(postmaster.pid, data):
                return
            time.sleep(_POLL_SECONDS)
    raise OperationalError(
        f"the server (process {postmaster.pid}) cannot be ended",
        next_step="look at the machine's disk: a process that waits for it cannot be killed",
    )


def log_since(log: Path, offset: int) -> str:
    """What the log holds past a position; empty where there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(offset)
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _open_log(log: Path, account: Account) -> int:
    """Make the log file where there is none; its size, in bytes."""
    try:
        os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        account.own(log)
        return log.stat().st_size
    except OSError as error:
        raise OperationalError(
            f"{log} cannot be written: {error.strerror}",
            next_step="check the disk's free space and the folder's owner, then try again",
        ) from error


def _spawn(
    bindir: Path, data: Path, configuration: Path, log: Path, account: Account
) -> subprocess.Popen[bytes]:
    command = [bindir / "postgres", "-D", data, "-c", f"config_file={configuration}"]
    try:
        with log.open("ab") as output:
            return subprocess.Popen(
                [str(word) for word in command],
                user=account.uid,
                group=account.uid,
                extra_groups=[] if account.switches else None,
                cwd="/",
                env=settings.child_environment({"LC_ALL": "C"}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise OperationalError(
            f"{command[0]} cannot be run: {error}",
            next_step="check that PostgreSQL's programs are made for this platform",
        ) from error


def _wait_until_ready(child: subprocess.Popen[bytes], data: Path, deadline: float) -> bool:
    """True once the child takes connections; False when it ended or time ran out."""
    while time.monotonic() < deadline:
        if child.poll() is not None:
            return False
        found = find(data)
        if found is not None and found.pid == child.pid and found.ready:
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _kill(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.send_signal(signal.SIGQUIT)
        try:
            child.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _is_server_of(pid: int, data: Path) -> bool:
    """Whether a process is the server of a data folder.

    A server works in its data folder, and that holds even after the folder was moved.
    Without /proc, a live process whose program is postgres is taken for it: too careful
    is better than two servers on one folder.
    """
    if not _alive(pid):
        return False
    working = Path(f"/proc/{pid}/cwd")
    if Path("/proc/self/cwd").exists():
        try:
            return working.samefile(data)
        except OSError:
            return False  # ended meanwhile, or a zombie
    answer = Account(uid=None).run("/bin/ps", "-o", "comm=", "-p", str(pid), timeout=10)
    return "postgres" in answer.stdout


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _signal(pid: int, how: signal.Signals) -> None:
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        pass
    except PermissionError as error:
        raise OperationalError(
            f"the server (process {pid}) belongs to another user",
            next_step="run the command as the user who started it",
        ) from error


def _reap(pid: int) -> None:
    """Collect the server if it is a child of this very process."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
