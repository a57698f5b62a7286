"""Other processes in tests: started from code, waited for by condition, ended by id."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
_POLL_SECONDS = 0.005


def wait_until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    """Return as soon as the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so within {seconds} seconds"
        time.sleep(_POLL_SECONDS)


def python(
    code: str,
    *arguments: str | Path,
    uid: int | None = None,
    interpreter: str = sys.executable,
    cwd: Path = CHECKOUT,
) -> subprocess.Popen[str]:
    """Start Python code that can import the toolkit; stdout and stderr are kept apart."""
    return subprocess.Popen(
        [interpreter, "-c", code, *(str(word) for word in arguments)],
        user=uid,
        group=uid,
        extra_groups=None if uid is None else [],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def command(*arguments: str, cwd: Path, extra: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run meterledger as a program of its own; its exit code, and stdout and stderr together."""
    done = subprocess.run(
        [sys.executable, "-c", "from toolkit.cli import main; main()", *arguments],
        cwd=cwd,
        env=environment(extra),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours, with the checkout importable and without the settings of whoever runs the tests."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("METERLEDGER_")}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join([str(CHECKOUT), sysconfig.get_path("purelib")]),
        "COLUMNS": "200",
        **(extra or {}),
    }


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def kill(pid: int) -> None:
    """End one process the hard way."""
    os.kill(pid, signal.SIGKILL)
