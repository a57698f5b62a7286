"""Adds to package-lock.json the other platforms' packages that npm left out.

npm leaves out an optional package of another platform if its registry does not serve it,
and `npm ci` then refuses the lock file anywhere. The entries added here have no hash: this
machine never saw the packages. Where npm finds them all, this changes nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parent.parent / "package-lock.json"
SYSTEMS = {"darwin": "darwin", "linux": "linux", "win32": "win32", "windows": "win32"}
PROCESSORS = ("arm64", "x64")


def entry(name: str, version: str, *, dev: bool) -> dict[str, Any]:
    """The lock entry of a platform's package, its platform read from its name."""
    words = name.rpartition("/")[2].split("-")
    result: dict[str, Any] = {
        "version": version.removeprefix("v"),
        "cpu": [word for word in words if word in PROCESSORS],
        "optional": True,
        "os": [SYSTEMS[word] for word in words if word in SYSTEMS],
    }
    if dev:
        result["dev"] = True
    if "musl" in words:
        result["libc"] = ["musl"]
    if not (result["cpu"] and result["os"]):
        msg = f"{name}: cannot tell its platform from its name; add it to package-lock.json by hand"
        raise SystemExit(msg)
    return dict(sorted(result.items(), key=lambda item: (item[0] != "version", item[0])))


def main() -> None:
    """Complete the lock file in place."""
    lock = json.loads(LOCK.read_text("utf-8"))
    packages = lock["packages"]
    for parent in list(packages.values()):
        for name, version in parent.get("optionalDependencies", {}).items():
            path = f"node_modules/{name}"
            if path not in packages:
                packages[path] = entry(name, version, dev=parent.get("dev", False))
                print(f"added without a hash: {name} {version}")
    lock["packages"] = dict(sorted(packages.items()))
    LOCK.write_text(json.dumps(lock, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
