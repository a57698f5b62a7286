"""Types commands as programs of their own, in a folder of their own, and sees what they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import environment
from toolkit.local.account import remove_tree
from toolkit.local.server import Server

_PROGRAM = [sys.executable, "-c", "from toolkit.cli import main; main()"]


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Operator:
    """Somebody who types in a folder that holds the project's data and all temporary files."""

    folder: Path

    @property
    def program(self) -> list[str]:
        """What stands before a command's words."""
        return _PROGRAM

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of whoever runs the tests but PATH and the like."""
        return environment(
            {"METERLEDGER_HOME": str(self.folder / "home"), "TMPDIR": str(self.folder / "tmp")}
        )

    def types(self, *words: str | Path) -> Answer:
        """Run a command to its end, without a terminal."""
        with self.starts(*words) as process:
            out, err = process.communicate(timeout=120)
        assert "Traceback" not in err, err
        return Answer(process.returncode, out, err)

    def starts(self, *words: str | Path) -> subprocess.Popen[str]:
        """Start a command, in a process group of its own, without a terminal."""
        return subprocess.Popen(
            [*_PROGRAM, *(str(word) for word in words)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def interrupts(self, step: str, *words: str, group: bool) -> Answer:
        """Start a command, and press Ctrl-C as soon as it says that a step begins.

        Args:
            step: the step's name.
            words: the command.
            group: the whole group gets the signal, as from a terminal; else the command alone.
        """
        with self.starts(*words) as process:
            said = _read_until(process, f"{step} …")
            (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=60)
        return Answer(process.returncode, out, said + err)

    def kills(self, line: str, *words: str) -> None:
        """Start a command, and kill it as soon as it says a line."""
        with self.starts(*words) as process:
            _read_until(process, line)
            process.kill()
            process.communicate(timeout=60)

    def leftovers(self) -> list[str]:
        """What lies about in the folder for temporary files."""
        return sorted(path.name for path in (self.folder / "tmp").iterdir())

    def processes(self) -> dict[int, str]:
        """Living processes that work in the folder or name it, with their arguments."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                place = str((entry / "cwd").readlink())
            except (OSError, UnicodeDecodeError):
                continue
            if words and str(self.folder) in f"{words} {place}":
                found[int(entry.name)] = words
        return found


@contextmanager
def an_operator() -> Iterator[Operator]:
    """In a new folder that the account of the server may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="meterledger-test-"))
    folder.chmod(0o711)
    (folder / "tmp").mkdir(mode=0o711)
    try:
        yield Operator(folder)
    finally:
        Server(folder / "home" / "local").destroy()
        remove_tree(folder)


def _read_until(process: subprocess.Popen[str], line: str) -> str:
    said = ""
    for text in process.stderr or ():
        said += text
        if text.strip() == line:
            return said
    raise AssertionError(f"it never said {line!r}:\n{said}")
