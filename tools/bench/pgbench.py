"""PostgreSQL's own pgbench: many clients that repeat a transaction, prepared, for a while."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from toolkit.errors import OperationalError
from toolkit.local.server import Server
from toolkit.rollout.push import without_password
from toolkit.settings import child_environment
from tools.bench.measure import Load, percentiles

_THREADS = 2
_RATE = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_FAILED = re.compile(r"^number of failed transactions: (\d+)", re.MULTILINE)

# What PostgREST does before each request, in one round trip; :user is set before it.
AS_USER = """begin;
select set_config('role', 'authenticated', true), set_config('request.jwt.claims',
  '{"role": "authenticated", "sub": "' || (USER) || '"}', true);
"""


def script(statement: str, *, user: str, prepare: str = "") -> str:
    """A transaction as a signed-in user.

    Args:
        statement: with USER where the user's id belongs, an SQL expression.
        user: that expression; may use pgbench's variables.
        prepare: pgbench's set commands.
    """
    return f"{prepare}\n{AS_USER}{statement};\ncommit;\n".replace("USER", user)


def run(server: Server, database: str, text: str, *, clients: int, seconds: float) -> Load:
    """Let clients repeat a script.

    Raises:
        OperationalError: no pgbench beside the server's programs, or a transaction failed.
    """
    program = server.binaries.tool("pgbench")
    url, password = without_password(server.url(database, "authenticator"))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "script.sql"
        file.write_text(text, "utf-8")
        answer = subprocess.run(
            [
                program, "--no-vacuum", "--protocol=prepared", f"--file={file}", "--log",
                f"--client={clients}", f"--jobs={min(clients, _THREADS)}",
                f"--time={max(round(seconds), 1)}", url,
            ],
            cwd=folder, env=child_environment({"PGPASSWORD": password or ""}),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        rate, failed = _RATE.search(answer.stdout), _FAILED.search(answer.stdout)
        if answer.returncode != 0 or rate is None or (failed and failed[1] != "0"):
            raise OperationalError(
                "pgbench did not end well.",
                next_step="read its words above",
                details=tuple((answer.stderr + answer.stdout).splitlines()[-8:]),
            )
        return Load(float(rate[1]), percentiles(_milliseconds(Path(folder))))


def _milliseconds(folder: Path) -> list[float]:
    """Of each transaction, from the third column of pgbench's logs, in microseconds."""
    return [
        int(line.split()[2]) / 1000
        for log in folder.glob("pgbench_log.*")
        for line in log.read_text("ascii").splitlines()
    ]
