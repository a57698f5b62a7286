"""Finds in the repository's files what belongs to one machine: registry hosts, absolute paths.

Looks at what is committed and at what would be (new files that git does not ignore).
Prints a line for each finding and exits 1 if there is one.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# A bracket in each pattern keeps it from matching its own line here.
FORBIDDEN = {
    "names a package registry's host": re.compile(
        r"pypi\.[o]rg|python[h]osted\.org|npm[j]s\.(?:org|com)|yarn[p]kg\.com|deb\.[d]ebian\.org"
        r"|crates\.[i]o|proxy\.[g]olang\.org|ruby[g]ems\.org|registry\.[a-z]+\.(?:org|com)\b",
        re.IGNORECASE,
    ),
    "holds a path of one machine": re.compile(
        r"(?<![\w.~$}])/(?:home|root|work|Users)/[\w.-]+|\b[A-Z]:\\Users\\"
    ),
}


def repository_files() -> list[Path]:
    """The files that git tracks or would track; deleted ones are left out."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def findings(path: Path) -> Iterator[str]:
    """One line for each forbidden thing in a text file; binary files give none."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        return
    for number, line in enumerate(lines, start=1):
        for reason, pattern in FORBIDDEN.items():
            if found := pattern.search(line):
                yield f"{path.relative_to(ROOT)}:{number}: {reason}: {found.group()}"
        if len(ROOT.parts) > 2 and str(ROOT) in line:
            yield f"{path.relative_to(ROOT)}:{number}: holds this checkout's path"


def main() -> int:
    """Print the findings; 1 if there are any, else 0."""
    found = [line for path in repository_files() for line in findings(path)]
    print("\n".join(found) if found else "no registry host or machine path is committed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
