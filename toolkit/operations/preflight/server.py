"""Items about the server and the way to it: version, settings, connections, pooler."""

from __future__ import annotations

from toolkit.operations.preflight.context import Context, from_sql, rows
from toolkit.operations.preflight.report import CheckItem, Finding, Verdict, judged

OLDEST = 15
PROVEN = (15, 17)
# deploy's own session, the CLI's, one for backfill or validation, one to look at it all.
CONNECTIONS_NEEDED = 4

writable = from_sql(
    "writable", "the database takes writes", quiet="a primary, and read-write by default"
)
settings = from_sql(
    "settings", "settings of the role and the server", quiet="nothing that a phase stumbles over"
)


def version(context: Context) -> CheckItem:
    """PostgreSQL 15 or 17; 16 should do."""
    number = context.connection.info.server_version
    return version_item(number // 10_000, number % 10_000)


def version_item(major: int, minor: int) -> CheckItem:
    """What is to be said of a version."""
    findings = []
    if major < OLDEST:
        findings = [
            Finding(
                Verdict.FAIL, "version", f"PostgreSQL {major}.{minor} is too old",
                f"upgrade to {PROVEN[-1]} first; security_invoker views came with {OLDEST}",
            )
        ]  # fmt: skip
    elif major not in PROVEN:
        findings = [
            Finding(
                Verdict.WARN, "version", f"this rollout was never tried on PostgreSQL {major}",
                "rehearse on a copy first",
            )
        ]  # fmt: skip
    return judged(
        "version",
        "server version",
        findings,
        quiet=f"PostgreSQL {major}.{minor}",
        figures={"major": major, "minor": minor},
    )


def extensions(context: Context) -> CheckItem:
    """What is installed; the rollout needs plpgsql only."""
    found = context.connection.execute(
        "select e.extname::text, e.extversion from pg_catalog.pg_extension as e order by 1"
    ).fetchall()
    there: dict[str, str] = dict(found)
    return judged(
        "extensions",
        "extensions",
        rows(context.connection, "preflight_extensions"),
        quiet="installed: " + ", ".join(there),
        figures={"installed": there},
    )


def connections(context: Context) -> CheckItem:
    """Room for the sessions that a rollout opens."""
    found = rows(context.connection, "preflight_connections", {"needed": CONNECTIONS_NEEDED})
    return judged(
        "connections",
        "connection budget",
        found,
        quiet="; ".join(f.text for f in found),
        figures={"needed": CONNECTIONS_NEEDED, "left": min(f.amount for f in found)},
    )
