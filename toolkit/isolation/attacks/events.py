"""Attacks on what events say: voids, forged provenance, the append-only guards, erasure."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

from psycopg import sql

from toolkit.isolation.attacks.base import BATCHES, EVENTS, TAKEN, Attacks
from toolkit.isolation.cast import owner_column
from toolkit.isolation.probing import Probe, Step, allowed, empty, refused
from toolkit.isolation.statements import compose

_APPEND_ONLY = "ML101"
_KINDS = ("TOPUP", "METER_READING", "ADJUSTMENT")
_BATCH_KINDS = ("BACKDATE_TOPUP", "EDIT_TOPUP", "DELETE_TOPUP", "MANUAL_CORRECTION")


def voids(attacks: Attacks) -> Iterator[Probe]:
    """Another's event stays as it is, and a void stays a void."""
    mine, theirs, alice = attacks.mine, attacks.theirs, attacks.alice
    void = "update public.token_events set is_voided = true where id = {}"
    yield from attacks.pair(
        "voiding another's event",
        EVENTS,
        (alice.step(compose(void, theirs.event), returns=False),),
        empty(),
        (alice.step(compose(void, mine.event), returns=False),),
        allowed(exactly=1),
    )
    unvoid = "update public.token_events set {} where id = {}"
    yield from attacks.pair(
        "making a void undone",
        EVENTS,
        (alice.step(compose(unvoid, sql.SQL("is_voided = false"), mine.voided), returns=False),),
        refused(_APPEND_ONLY),
        (alice.step(compose(unvoid, sql.SQL("voided_reason = 'x'"), mine.voided), returns=False),),
        allowed(exactly=1),
    )


def forgery(attacks: Attacks) -> Iterator[Probe]:
    """Provenance that a client makes up, and the row that would break everybody's refresh."""
    mine, theirs = attacks.mine, attacks.theirs
    honest = (attacks.event({"created_by": mine.user, "metadata": '{"app": "probe"}'}),)
    forged: tuple[tuple[str, dict[str, object]], ...] = (
        ("an event in another's name", {"created_by": theirs.user}),
        ("migrated_from of one's own making", {"metadata": '{"migrated_from": "x"}'}),
        ("a reading_id of one's own making", {"reading_id": theirs.reading}),
        ("an event that is void from the start", {"is_voided": "true"}),
        ("voided_by of one's own making", {"voided_by": theirs.user}),
        ("a legacy token_amount of one's own making", {"legacy_token_amount": "1"}),
    )
    for name, columns in forged:
        for kind in _KINDS:
            attack = (attacks.event(columns, kind=kind),)
            title = f"{name} ({kind})"
            yield from attacks.pair(title, EVENTS, attack, refused(), honest, allowed(exactly=1))
    if BATCHES in attacks.stage.access.rules:
        batch = (
            "insert into public.recalculation_batches (user_id, trigger_type, affected_events, "
            "events_count, created_by) values ({}, {}, '[]', 0, {})"
        )
        for kind in _BATCH_KINDS:
            attack, own = (
                (attacks.alice.step(compose(batch, mine.user, kind, who), returns=False),)
                for who in (theirs.user, mine.user)
            )
            name = f"a recalculation in another's name ({kind})"
            yield from attacks.pair(name, BATCHES, attack, refused(), own, allowed())
        change = "update public.recalculation_batches set {} where id = {}"
        author = compose("created_by = {}", theirs.user)
        yield from attacks.pair(
            "a recalculation put into another's name",
            BATCHES,
            (attacks.alice.step(compose(change, sql.SQL(author), mine.batch), returns=False),),
            refused(_APPEND_ONLY),
            (
                attacks.alice.step(
                    compose(change, sql.SQL("rollback_reason = 'x'"), mine.batch), returns=False
                ),
            ),
            allowed(exactly=1),
        )
    # The owner gives an event of hers a reading_id; an event under that id would show twice.
    shown = uuid4()
    given = Step(
        compose(
            "insert into public.token_events (user_id, event_type, event_date, kwh_amount, "
            "reading_id) values ({}, 'METER_READING', now(), 1, {})",
            *(mine.user, shown),
        ),
        returns=False,
    )
    yield from attacks.pair(
        "a row that would break everybody's refresh",
        EVENTS,
        (given, attacks.event({"id": shown})),
        refused(TAKEN),
        (given, attacks.event({"id": uuid4()})),
        allowed(exactly=1),
    )
    yield from refresh(attacks)


def refresh(attacks: Attacks) -> Iterator[Probe]:
    """Alice takes Bob's ids; the rows of both must still fit under the refresh's unique index."""
    if "public.electricity_readings_mv" not in attacks.stage.access.rules:
        return
    clash = (
        "select count(*) from (select e.user_id from public.token_events as e "
        "where not e.is_voided and e.event_type <> 'VOID' and e.user_id in ({}, {}) "
        "group by e.user_id, coalesce(e.reading_id, e.id) having count(*) > 1) as twice"
    )
    check = Step(compose(clash, attacks.mine.user, attacks.theirs.user))
    taken = attacks.event({"id": attacks.theirs.event, "notes": "the same id"})
    shown = attacks.alice.step(
        "select count(*) from public.electricity_readings_v where notes = 'the same id'"
    )
    yield from attacks.pair(
        "an id of another's, at the refresh",
        "public.electricity_readings_mv",
        (taken, check),
        empty(),
        (taken, shown),
        allowed(exactly=1),
    )


def guards(attacks: Attacks) -> Iterator[Probe]:
    """Events are append-only even for who owns them: no grant stands in the owner's way."""
    mine = (attacks.mine.user, attacks.mine.event)
    change = "update public.token_events set {} where user_id = {} and id = {}"
    note = compose(change, sql.SQL("voided_reason = 'x'"), *mine)
    amount = compose(change, sql.SQL("kwh_amount = 51"), *mine)
    delete = compose("delete from public.token_events where user_id = {} and id = {}", *mine)
    honest = (Step(note, returns=False),)
    for name, statement in (
        ("the owner changes an event", amount),
        ("the owner deletes an event", delete),
    ):
        attack = (Step(statement, returns=False),)
        yield from attacks.pair(
            name, EVENTS, attack, refused(_APPEND_ONLY), honest, allowed(exactly=1)
        )
    # Truncating the ledger would lock it; the guard is tried on a table that is nobody's.
    scratch = Step("create temporary table meterledger_scratch (id int)", returns=False)
    hang_up = Step(
        "create trigger guard before truncate on meterledger_scratch "
        "for each statement execute function ledger.refuse_truncate()",
        returns=False,
    )
    truncate = Step("truncate meterledger_scratch", returns=False)
    yield from attacks.pair(
        "truncating what must not be truncated",
        "ledger.refuse_truncate()",
        (scratch, hang_up, truncate),
        refused(_APPEND_ONLY),
        (scratch, truncate),
        allowed(0),
    )
    for table in (EVENTS, "ledger.readings"):
        if table in attacks.stage.truncatable:
            continue  # a probe tells; trying it would lock the table
        yield from attacks.pair(
            "truncating",
            table,
            (attacks.alice.step(f"truncate {table}", returns=False),),
            refused(),
            (scratch, truncate),
            allowed(0),
        )


def erasure(attacks: Attacks) -> Iterator[Probe]:
    """What is left of a user who was deleted: nothing, in any table that held something."""
    stage = attacks.stage
    for table in sorted(stage.cast.erased):
        column = owner_column(stage.access, stage.catalog, table)
        names = (sql.Identifier(*table.split(".", 1)), sql.Identifier(column))
        query = "select count(*) from {} where {} = {}"
        yield from attacks.pair(
            "rows of a user who was deleted",
            table,
            (Step(compose(query, *names, stage.cast.users["deleted"])),),
            empty(),
            (Step(compose(query, *names, attacks.mine.user)),),
            allowed(),
        )
