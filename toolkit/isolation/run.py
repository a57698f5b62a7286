"""The isolation proof of one database: sets the stage, probes, attacks, reads the catalog."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from toolkit.connection import connect, describe, redact
from toolkit.errors import FindingsError, OperationalError
from toolkit.isolation.access import NO, Access, Rule
from toolkit.isolation.advisors import prove_advisors
from toolkit.isolation.api.target import ApiTarget
from toolkit.isolation.attacks import attack_probes
from toolkit.isolation.cast import assemble
from toolkit.isolation.catalog import (
    Catalog,
    as_it_stands,
    present,
    read_catalog,
    uncovered,
)
from toolkit.isolation.lints import run_lints
from toolkit.isolation.object_probes import (
    database_probes,
    function_probes,
    later_probes,
    schema_probes,
    sequence_probes,
)
from toolkit.isolation.probing import Probe, install_runner, judge, run_probes
from toolkit.isolation.relation_probes import relation_probes
from toolkit.isolation.report import Finding, IsolationReport, Kind, Part, Row, Section
from toolkit.isolation.require import require_roles
from toolkit.isolation.stage import Stage, set_stage
from toolkit.rollout.phases import phases, verify
from toolkit.rollout.standing import require_rollout

OnPart = Callable[[Part], None]
_LIMITS = (
    "select set_config('search_path', '', true), set_config('lock_timeout', '2s', true), "
    "set_config('statement_timeout', '20s', true), "
    "set_config('idle_in_transaction_session_timeout', '60s', true)"
)
_RELATIONS = ("table", "view", "materialized view")


def prove_isolation(
    database_url: str,
    access: Access,
    *,
    api: ApiTarget | None = None,
    advisors: bool = True,
    on_part: OnPart | None = None,
) -> IsolationReport:
    """Prove a database; nothing of it is kept.

    Args:
        database_url: any connection of the owner's, a transaction pooler's too.
        access: the declaration.
        api: also prove through this REST API, with users that are signed up and removed.
        advisors: also run Supabase's own, through its CLI.
        on_part: called with each part as it ends.

    Raises:
        OperationalError: no connection, the role may not do what the proof needs, or the
            database is not rolled out.
        FindingsError: what the rollout made is gone.
    """
    parts: list[Part] = []

    def add(part: Part) -> None:
        parts.append(part)
        if on_part is not None:
            on_part(part)

    try:
        with connect(
            database_url, autocommit=True, application_name="meterledger isolation", prepare=False
        ) as connection:
            require_roles(connection, access)
            require_rollout(connection)
            access = as_it_stands(connection, access)
            with connection.transaction(force_rollback=True):
                connection.execute(_LIMITS)
                catalog = read_catalog(connection, access)
                add(_timed(lambda: _phases(connection)))
                for part in prove_inside(connection, access):
                    add(part)
            if advisors:
                add(_timed(lambda: prove_advisors(database_url, connection, access)))
            if api is not None:
                add(_through_api(api, access, connection))
            row = connection.execute("show server_version").fetchone()
    except psycopg.Error as error:
        raise _stopped(error) from error
    return IsolationReport(
        database=describe(database_url),
        server_version=str(row[0]).partition(" ")[0] if row else "",
        proven_at=datetime.now(UTC).isoformat(timespec="seconds"),
        identities={i.name: i.text for i in access.identities},
        matrix=matrix(access, catalog, parts),
        parts=tuple(parts),
        details={"roles": {i.name: i.role for i in access.identities}},
    )


def prove_inside(connection: psycopg.Connection[TupleRow], access: Access) -> tuple[Part, ...]:
    """Prove the database as the caller's open transaction sees it, and take everything back.

    Args:
        connection: as the owner, inside a transaction.
        access: the declaration.
    """
    with connection.transaction(force_rollback=True):
        connection.execute(_LIMITS)
        started = time.monotonic()
        access = as_it_stands(connection, access)
        catalog = read_catalog(connection, access)
        gaps = uncovered(access, catalog)
        facts = (f"{len(catalog.objects)} objects, {len(access.rules)} rules",)
        coverage = Part(
            Section.COVERAGE, findings=gaps, seconds=time.monotonic() - started, facts=facts
        )
        known = present(access, catalog)
        lints = _timed(lambda: _lints(connection, known, catalog))
        install_runner(connection)
        try:
            stage = set_stage(connection, known, assemble(connection, known, catalog), catalog)
        except FindingsError as error:
            return coverage, *_not_tried(error), lints
        return coverage, *_try_out(connection, stage), lints


def _not_tried(error: FindingsError) -> tuple[Part, Part]:
    """Without users there is nothing to try; what the catalog says still stands."""
    finding = Finding(
        section=Section.PROBES,
        kind=Kind.UNCLEAR,
        subject="auth.users",
        text=error.message,
        next_step=error.next_step,
    )
    skipped = "no users could be made up"
    return Part(Section.PROBES, findings=(finding,), skipped=skipped), Part(
        Section.ATTACKS, skipped=skipped
    )


def _try_out(connection: psycopg.Connection[TupleRow], stage: Stage) -> tuple[Part, Part]:
    """Probes and attacks, in one go; an attack's twin may be a probe."""
    started = time.monotonic()
    probes = [*_declared_probes(connection, stage), *attack_probes(stage)]
    outcomes = run_probes(connection, probes)
    seconds = time.monotonic() - started
    judged = judge(probes, outcomes, stage.cast.setting, _hidden(stage))
    first, second = (
        Part(section, tally, findings, seconds=seconds * share)
        for section, (tally, findings) in judged.items()
        for share in [sum(p.section is section for p in probes) / len(probes)]
    )
    return first, second


def _hidden(stage: Stage) -> dict[str, str]:
    """The app's own users stay unnamed: whoever reproduces a finding takes two of them."""
    return {
        str(user): f":'existing_user_{number}'"
        for pair in stage.existing.values()
        for number, user in enumerate(pair, 1)
    }


def _declared_probes(connection: psycopg.Connection[TupleRow], stage: Stage) -> Iterator[Probe]:
    access = stage.access
    for rule in access.of_kind(*_RELATIONS):
        yield from relation_probes(stage, rule)
    for rule in access.of_kind("function"):
        yield from function_probes(stage, rule, _holders(connection, access, rule))
    for rule in access.of_kind("sequence"):
        yield from sequence_probes(stage, rule, _holders(connection, access, rule))
    for rule in access.of_kind("schema"):
        yield from schema_probes(stage, rule)
    yield from later_probes(stage)
    yield from database_probes(stage)


def _holders(
    connection: psycopg.Connection[TupleRow], access: Access, rule: Rule
) -> frozenset[str]:
    """The roles that may call a function or step a sequence, as Postgres says."""
    question = {
        "function": "has_function_privilege(r.name, %(name)s, 'execute')",
        "sequence": "has_sequence_privilege(r.name, %(name)s, 'usage, update')",
    }[rule.kind]
    rows = connection.execute(
        sql.SQL("select r.name from unnest(%(roles)s::text[]) as r (name) where {}").format(
            sql.SQL(question)
        ),
        {"name": rule.name, "roles": list(access.roles())},
    )
    return frozenset(name for (name,) in rows)


def _lints(connection: psycopg.Connection[TupleRow], access: Access, catalog: Catalog) -> Part:
    row = connection.execute("select current_user::text").fetchone()
    owner = str(row[0]) if row else ""
    return Part(Section.LINTS, findings=run_lints(connection, access, catalog, owner))


def _phases(connection: psycopg.Connection[TupleRow]) -> Part:
    """Each phase's own verification, so that drift is told by the phase that it is of."""
    findings = []
    for phase in phases():
        try:
            verify(connection, [phase])
        except FindingsError as error:
            findings.append(
                Finding(
                    section=Section.PHASES,
                    kind=Kind.WEAK,
                    subject=phase.name,
                    text=error.message,
                    next_step=error.next_step,
                )
            )
    return Part(Section.PHASES, findings=tuple(findings), facts=(f"{len(phases())} phase files",))


def matrix(access: Access, catalog: Catalog, parts: list[Part]) -> tuple[Row, ...]:
    """What each identity may do with each object, and where the database does otherwise."""
    broken: dict[str, set[tuple[str, str]]] = {}
    for finding in (finding for part in parts for finding in part.findings):
        broken.setdefault(finding.subject, set()).add((finding.identity, finding.operation))
    return tuple(
        Row(
            subject=rule.name,
            kind=rule.kind,
            reach={
                identity.name: {
                    operation: how
                    for operation in rule.reach
                    if (how := access.reach(rule, operation, identity)) != NO
                }
                for identity in access.identities
            },
            broken=frozenset(broken.get(rule.name, ())),
        )
        for rule in present(access, catalog).rules.values()
    )


def _through_api(api: ApiTarget, access: Access, connection: psycopg.Connection[TupleRow]) -> Part:
    """By users of the Auth server, or of the database where only tokens can be signed."""
    # Supabase's client takes longer to import than all the rest, and every command imports us.
    from toolkit.isolation.api.people import AdminPeople, DatabasePeople  # noqa: PLC0415
    from toolkit.isolation.api.probes import prove_api  # noqa: PLC0415

    if api.service_key is not None:
        return prove_api(api, access, AdminPeople)
    if api.jwt_secret is not None:
        return prove_api(api, access, DatabasePeople(connection, api.jwt_secret))
    return Part(
        Section.API,
        skipped="no users can be signed up: there is neither SUPABASE_SERVICE_ROLE_KEY nor "
        "SUPABASE_JWT_SECRET",
    )


def _timed(run: Callable[[], Part]) -> Part:
    started = time.monotonic()
    part = run()
    return replace(part, seconds=time.monotonic() - started)


def _stopped(error: psycopg.Error) -> OperationalError:
    state = f" ({error.sqlstate})" if error.sqlstate else ""
    return OperationalError(
        f"the proof stopped: {redact(str(error.diag.message_primary or error))}{state}",
        next_step="nothing was kept; see that the server runs, then prove again",
    )
