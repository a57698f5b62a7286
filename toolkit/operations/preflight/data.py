"""Items about the data's own problems, with counts; none of them needs a phase to be there."""

from __future__ import annotations

from toolkit.operations.preflight.context import Context, rows, skipped
from toolkit.operations.preflight.report import CheckItem, Finding, Verdict, judged

_ZONE_STEP = "give the zone that your users live by: --time-zone Asia/Jakarta"


def time_zone(context: Context) -> CheckItem:
    """The zone that says where a day begins: confirmed, known to Postgres, and the same one."""
    scene, given = context.scene, context.options.time_zone
    findings = []
    if given is not None and not _known(context, given):
        findings.append(
            Finding(
                Verdict.FAIL, "time zone", f"PostgreSQL knows no time zone {given!r}",
                "use a name of pg_timezone_names, such as Asia/Jakarta",
            )
        )  # fmt: skip
    elif given is None and scene.recorded_zone is None and scene.legacy_rows:
        findings.append(
            Finding(
                Verdict.FAIL, "time zone",
                f"no time zone is confirmed, and the day of {scene.legacy_rows:,} readings depends "
                "on it; everything below is told by UTC's days",
                _ZONE_STEP, scene.legacy_rows,
            )
        )  # fmt: skip
    elif given is not None and scene.recorded_zone not in (None, given):
        findings.append(
            Finding(
                Verdict.FAIL if scene.migrated else Verdict.WARN, "time zone",
                f"{given} was given, and the database has {scene.recorded_zone} on record",
                "leave --time-zone out, or correct it"
                if scene.migrated
                else "the deploy will record the one that is given: see that it is right",
            )
        )  # fmt: skip
    return judged(
        "time_zone",
        "time zone of the app's days",
        findings,
        quiet=_confirmed(context),
        figures={
            "given": given,
            "recorded": scene.recorded_zone,
            "date_type": scene.date_type,
            "legacy_rows": scene.legacy_rows,
        },
    )


def rejects(context: Context) -> CheckItem:
    """Legacy rows that cannot become an event, by reason."""
    title = "legacy rows that cannot become an event"
    if not context.scene.has_legacy or not context.scene.has_profiles:
        return skipped("rejects", title, "there is no legacy table with profiles")
    found = rows(context.connection, "preflight_rejects", {"zone_name": context.zone})
    return judged(
        "rejects",
        title,
        found,
        quiet=f"all {context.scene.legacy_rows:,} can",
        figures={
            "legacy_rows": context.scene.legacy_rows,
            "rejected": sum(f.amount for f in found),
            "by_reason": {f.subject: f.amount for f in found},
        },
    )


def duplicate_days(context: Context) -> CheckItem:
    """Days with several readings of one user."""
    title = "days with more than one reading"
    if not context.scene.has_legacy:
        return skipped("duplicate_days", title, "there is no legacy table")
    found = rows(context.connection, "preflight_duplicate_days", {"zone_name": context.zone})
    return judged(
        "duplicate_days",
        title,
        found,
        quiet="none",
        figures={"days": sum(f.amount for f in found)},
    )


def near_duplicates(context: Context) -> CheckItem:
    """Events that almost state a reading's fact, and will count beside it."""
    title = "near duplicates of readings and events"
    scene = context.scene
    if not (scene.has_legacy and scene.has_events and scene.has_profiles):
        return skipped("near_duplicates", title, "there are not both kinds of records")
    if scene.migrated:
        found = rows(context.connection, "preflight_near_matches_left")
    else:
        found = rows(context.connection, "preflight_near_duplicates", {"zone_name": context.zone})
    return judged(
        "near_duplicates",
        title,
        found,
        quiet="none",
        figures={"pairs": sum(f.amount for f in found)},
    )


def event_references(context: Context) -> CheckItem:
    """void_of_event within one user, and a profile for each event."""
    title = "what events point at"
    if not context.scene.has_events or not context.scene.has_profiles:
        return skipped("event_references", title, "there are no events with profiles yet")
    found = rows(context.connection, "preflight_event_references")
    return judged("event_references", title, found, quiet="events and profiles of the same user")


def impossible_events(context: Context) -> CheckItem:
    """Events that phase 1 stops at."""
    title = "events that cannot be true"
    if not context.scene.has_events:
        return skipped("impossible_events", title, "there is no token_events yet")
    found = rows(context.connection, "preflight_impossible_events")
    return judged(
        "impossible_events",
        title,
        found,
        quiet=f"none among {context.scene.event_rows:,}",
        figures={
            "events": context.scene.event_rows,
            "by_problem": {f.subject: f.amount for f in found},
        },
    )


def _known(context: Context, name: str) -> bool:
    row = context.connection.execute(
        "select exists (select from pg_catalog.pg_timezone_names as z where z.name = %s)", (name,)
    ).fetchone()
    return row == (True,)


def _confirmed(context: Context) -> str:
    scene = context.scene
    if scene.recorded_zone is not None:
        return f"{scene.recorded_zone}, on record"
    if context.options.time_zone is not None:
        return f"{context.options.time_zone}, to be recorded by the deploy"
    return "no reading depends on it yet"
