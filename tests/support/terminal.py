"""Programs that talk to a person on a terminal, with somebody who answers them."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

from tests.support.processes import environment

_PATIENCE_SECONDS = 30.0
_INSISTENCE_SECONDS = 2.0
INTERRUPTION = "\x03"  # what Ctrl-C types


def converse(
    code: str, words: Sequence[str], talk: Sequence[tuple[str, str]], folder: Path
) -> tuple[int, str]:
    """Run Python code on a terminal of its own; its exit code, and what the terminal showed.

    Args:
        code: the program.
        words: its arguments.
        talk: what each question holds, and the answer, typed when the question is seen; an
            interruption ends the talk.
        folder: where it runs.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        env=environment({"TERM": "dumb"}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads here
    )
    os.close(theirs)
    try:
        shown, answered = "", 0
        for question, answer in talk:
            # The blank comes when the program reads, and a hidden answer's echo is off by then.
            while question not in shown[answered:] or not shown.endswith(": "):
                piece = _read(ours)
                assert piece, f"it never asked for {question!r}: {shown}"
                shown += piece
            answered = len(shown)
            if answer == INTERRUPTION:
                return _interrupt(process, ours), shown + _rest(ours)
            os.write(ours, f"{answer}\n".encode())
        shown += _rest(ours)
        return process.wait(_PATIENCE_SECONDS), shown
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _interrupt(process: subprocess.Popen[bytes], terminal: int) -> int:
    """Press Ctrl-C as a person does: again, when nothing happens; the exit code.

    One press can come to nothing: between showing its question and waiting for the answer, Python
    notes the signal and then waits.
    """
    for _ in range(int(_PATIENCE_SECONDS / _INSISTENCE_SECONDS)):
        os.write(terminal, INTERRUPTION.encode())
        try:
            return process.wait(_INSISTENCE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    return process.wait(_INSISTENCE_SECONDS)


def _rest(terminal: int) -> str:
    """Everything until the program has nothing more to say."""
    shown = ""
    while piece := _read(terminal):
        shown += piece
    return shown


def _read(terminal: int) -> str:
    """What comes next; nothing where the program has ended or says nothing more."""
    if not select.select([terminal], [], [], _PATIENCE_SECONDS)[0]:
        return ""
    try:
        return os.read(terminal, 4096).decode(errors="replace")
    except OSError:  # the last one who held the other side is gone
        return ""
