"""What was measured on: a figure without its machine says little."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import toolkit
from toolkit.connection import connect
from tools.bench.stage import SETTINGS, Stage

_CPU = Path("/proc/cpuinfo")


def machine() -> dict[str, Any]:
    """Cores, memory, processor, system; nothing that names the machine."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(pages * size / 2**30),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "meterledger": toolkit.__version__,
        "day": datetime.now(UTC).date().isoformat(),
        "load_at_start": round(os.getloadavg()[0], 2),
        "settings": SETTINGS,
    }


def database(stage: Stage) -> dict[str, Any]:
    """The server's version, and how large the database is."""
    with connect(stage.server.url("app"), autocommit=True) as connection:
        row = connection.execute(
            "select current_setting('server_version'), pg_database_size(current_database()),"
            " (select count(*) from public.token_events), (select count(*) from ledger.readings),"
            " (select count(*) from ledger.heads)"
        ).fetchone()
    names = ("postgres", "bytes", "events", "readings", "users")
    return {"legacy_rows": stage.rows, **dict(zip(names, row or (), strict=True))}


def _processor() -> str:
    if not _CPU.is_file():
        return platform.processor()
    for line in _CPU.read_text("utf-8", "replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
