"""The commands of a page as one script that a reader would type, and how the tests run it."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.doc_cli import command_of
from tests.support.doc_pages import blocks
from tests.support.processes import CHECKOUT

ZONE = "Asia/Jakarta"
_PRELUDE = Path(__file__).with_suffix(".sh")
# `meterledger` on the PATH, with somebody who answers its questions.
_PROGRAM = """#!{python}
import sys
from tests.support.doc_walks import answered
from toolkit.cli import main
sys.argv[1:] = answered(sys.argv[1:])
main()
"""


@dataclass(frozen=True)
class Walk:
    """How the commands of a page are run.

    Attributes:
        page: from the checkout on.
        before: what a reader of the page has done already, in shell.
        instead: what is run for a line, where a reader puts in something of their own or may
            get findings; a line is given without its comment.
        left_out: lines that are not run, each with the reason.
    """

    page: str
    before: str = ""
    instead: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def script(self) -> str:
        """The whole of it.

        Raises:
            AssertionError: a line that is named here is not on the page.
        """
        code: list[str] = []
        used: set[str] = set()
        for block in blocks(CHECKOUT / self.page):
            if block.language == "sql" and code and "local psql" in code[-1]:
                code[-1] += f" -v ON_ERROR_STOP=1 <<'EOT'\n{block.text}EOT"
            for line in block.text.splitlines() if block.language == "sh" else []:
                bare = re.sub(r"\s+# .*|^# .*", "", line).strip()
                used.add(bare)
                if bare and bare not in self.left_out:
                    code.append(self.instead.get(bare, bare))
        unknown = (self.instead.keys() | self.left_out.keys()) - used
        assert not unknown, f"{self.page} has no such line: {unknown}"
        assert code, f"{self.page} has no command"
        return "\n".join([f". {_PRELUDE}", self.before, *code, ""])


def put_program(folder: Path) -> Path:
    """The folder, to be first on the PATH, of a `meterledger` that somebody answers."""
    folder.mkdir(exist_ok=True)
    program = folder / "meterledger"
    program.write_text(_PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    return folder


def answered(words: list[str]) -> list[str]:
    """The words with the answer that a person would type, where the command would ask."""
    command, _ = command_of(words)
    options = {option for parameter in command.params for option in parameter.opts}
    given = options & set(words)
    names = [word for word in words if word in {"staging", "production", "copy", "local"}]
    if "--confirm" in options and names and not given & {"--confirm", "--yes"}:
        return [*words, "--confirm", names[-1]]
    return [*words, "--yes"] if "--yes" in options and "--yes" not in given else words
