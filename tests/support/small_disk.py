"""A disk that is really full: a tmpfs of a few kilobytes in a mount namespace of its own.

Root has the right to mount; anybody else gets it in a user namespace, where the system allows
that. The disk goes with the command that was run on it, so what is left is listed before.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.support.processes import environment

_OWN_MOUNTS = ["unshare", "--mount"]
_OWN_RIGHTS = ["--user", "--map-current-user", "--keep-caps"]
_LEFT = "--- left on the small disk"
_SCRIPT = f"""
mount -t tmpfs -o size="$1",mode=0711 tmpfs "$2" || exit 97
place=$2
shift 2
"$@"
code=$?
echo "{_LEFT}" >&2
find "$place" -mindepth 1 -printf '%P\\n' >&2
exit $code
"""
_PROGRAM = [sys.executable, "-c", "from toolkit.cli import main; main()"]


@dataclass(frozen=True)
class Answer:
    """What a command said and left.

    Attributes:
        code: its exit code.
        out, err: what it wrote.
        left: what lay on the small disk at its end, as paths below it.
    """

    code: int
    out: str
    err: str
    left: frozenset[str]


def types_on(
    place: Path, size: str, *words: str | Path, cwd: Path, extra: Mapping[str, str]
) -> Answer:
    """Run meterledger with a small disk at a place; skips where nobody may mount one.

    Args:
        place: an empty folder.
        size: as tmpfs has it, such as 64k.
        words: the command.
        cwd: where it is typed.
        extra: environment variables.
    """
    if not _may_mount():
        pytest.skip("this machine lets nobody mount a small disk")
    done = _run([size, place, *_PROGRAM, *words], cwd, environment(extra))
    err, _, left = done.stderr.partition(f"{_LEFT}\n")
    assert "Traceback" not in err, err
    return Answer(done.returncode, done.stdout, err, frozenset(left.splitlines()))


@cache
def _may_mount() -> bool:
    try:
        return _run(["64k", "/tmp", "true"], Path("/"), environment()).returncode == 0  # noqa: S108 - any folder will do
    except OSError:
        return False


def _run(
    words: list[str | Path], cwd: Path, variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    rights = [] if os.geteuid() == 0 else _OWN_RIGHTS
    return subprocess.run(
        [*_OWN_MOUNTS, *rights, "sh", "-c", _SCRIPT, "sh", *(str(word) for word in words)],
        cwd=cwd,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
