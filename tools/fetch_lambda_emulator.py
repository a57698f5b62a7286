"""Puts AWS's Lambda runtime interface emulator, out of the aws-sam-cli wheel, into build/lambda.

The wheel alone is downloaded, pinned by version, and the binary by its checksum: the package's
many dependencies would only get into the way of ours.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSION = "1.170.0"
FOLDER = Path(__file__).parents[1] / "build" / "lambda"
SHA256 = {
    "aws-lambda-rie-arm64": "ec2e5d09633d853834c008b1ef264bf834b258a94d551d2b2074966494b39a21",
    "aws-lambda-rie-x86_64": "6b1e686e62ab2baf5759c412c4864276ef2a88b094fca53ec070637ccba9b9a5",
}
_NAMES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


def emulator() -> Path:
    """Where the emulator for this machine is, or would be."""
    return FOLDER / f"aws-lambda-rie-{_NAMES.get(platform.machine().lower(), 'unknown')}"


def main() -> int:
    """Fetch it unless it is there and whole; 1 if what came is something else."""
    path = emulator()
    wanted = SHA256.get(path.name)
    if wanted is None:
        print(f"the emulator is not made for {platform.machine()}")
        return 1
    if not (path.is_file() and _sum(path) == wanted):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "-d", folder]
            subprocess.run([*command, f"aws-sam-cli=={VERSION}"], check=True)
            (wheel,) = Path(folder).glob("*.whl")
            with zipfile.ZipFile(wheel) as packed:
                content = packed.read(f"samcli/local/rapid/{path.name}")
        FOLDER.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755)
    if _sum(path) != wanted:
        path.unlink()
        print("the emulator that came has another checksum than the pinned one")
        return 1
    print(path)
    return 0


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
