"""The reference fold, held to worked examples and to the rules in their own words."""

from __future__ import annotations

import ast
import itertools
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, getcontext, localcontext
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.validation import reference
from toolkit.validation.reference import Event, Position, positions

ALICE, BOB = UUID(int=0xA), UUID(int=0xB)
START = datetime(2026, 1, 1, tzinfo=UTC)
READING, TOPUP, ADJUSTMENT, VOID = "METER_READING", "TOPUP", "ADJUSTMENT", "VOID"


def event(
    number: int,
    kind: str,
    kwh: str,
    *,
    observed: str | None = None,
    voided: bool = False,
    user: UUID = ALICE,
    reading_id: UUID | None = None,
) -> Event:
    """The number is the event's id, and its day."""
    return Event(
        user_id=user,
        id=UUID(int=number),
        reading_id=reading_id,
        event_type=kind,
        event_date=START + timedelta(days=number),
        created_at=START,
        kwh_amount=Decimal(kwh),
        observed_kwh=None if observed is None else Decimal(observed),
        is_voided=voided,
    )


def course(*events: Event) -> list[tuple[str, str | None]]:
    """Position and consumption after each counted event, as text."""
    return [
        (str(p.position), None if p.consumption is None else str(p.consumption))
        for p in positions(events)
    ]


def test_no_events_have_no_positions() -> None:
    assert list(positions([])) == []


def test_a_reading_sets_the_position_and_tells_what_was_used_since() -> None:
    assert course(event(1, READING, "100"), event(2, READING, "88.5")) == [
        ("100", None),
        ("88.5", "11.5"),
    ]


def test_a_topup_adds_and_tells_nothing_of_what_was_used() -> None:
    assert course(event(1, READING, "10"), event(2, TOPUP, "50"), event(3, READING, "55")) == [
        ("10", None),
        ("60", None),
        ("55", "5"),
    ]


def test_what_the_meter_showed_right_after_a_topup_makes_it_an_anchor() -> None:
    assert course(event(1, READING, "10"), event(2, TOPUP, "50", observed="57")) == [
        ("10", None),
        ("57", "3"),
    ]


def test_a_correction_may_be_negative_and_may_be_an_anchor() -> None:
    assert course(
        event(1, READING, "10"),
        event(2, ADJUSTMENT, "-2.5"),
        event(3, ADJUSTMENT, "-1", observed="6"),
    ) == [("10", None), ("7.5", None), ("6", "0.5")]


def test_without_an_anchor_positions_start_from_nothing() -> None:
    assert course(event(1, TOPUP, "20"), event(2, ADJUSTMENT, "-30"), event(3, TOPUP, "5")) == [
        ("20", None),
        ("-10", None),
        ("-5", None),
    ]


@pytest.mark.parametrize("observed", [None, "0", "25"])
def test_a_first_event_never_tells_what_was_used(observed: str | None) -> None:
    first, second = course(event(1, TOPUP, "20", observed=observed), event(2, READING, "1"))

    assert first[1] is None
    assert second[1] is not None


def test_an_unrecorded_topup_shows_as_negative_use_and_is_not_clipped() -> None:
    assert course(event(1, READING, "5"), event(2, READING, "60"))[1] == ("60", "-55")


def test_voided_events_and_void_events_count_for_nothing() -> None:
    assert course(
        event(1, READING, "500", voided=True),
        event(2, READING, "10"),
        event(3, TOPUP, "NaN", voided=True),
        event(4, VOID, "0"),
        event(5, READING, "9"),
    ) == [("10", None), ("9", "1")]


def test_the_first_counted_event_is_the_first_though_a_voided_one_came_before() -> None:
    assert course(event(1, READING, "500", voided=True), event(2, READING, "10"))[0][1] is None


def test_each_user_begins_anew() -> None:
    assert course(
        event(1, READING, "10"),
        event(2, READING, "9"),
        event(1, TOPUP, "3", user=BOB),
        event(2, READING, "1", user=BOB),
    ) == [("10", None), ("9", "1"), ("3", None), ("1", "2")]


def test_a_position_names_the_event_its_user_and_the_id_that_readers_know() -> None:
    known_as = UUID(int=77)

    assert list(
        positions([event(1, READING, "10", reading_id=known_as), event(2, TOPUP, "1")])
    ) == [
        Position(UUID(int=1), ALICE, known_as, Decimal(10), None),
        Position(UUID(int=2), ALICE, UUID(int=2), Decimal(11), None),
    ]


def test_sums_are_exact_beyond_the_digits_of_the_default_context() -> None:
    tiny = "0." + "0" * 16_000 + "1"
    [first, second] = positions([event(1, TOPUP, "999999999999"), event(2, TOPUP, tiny)])

    assert second.position > first.position
    assert str(second.position) == "999999999999" + tiny[1:]


def test_reading_positions_leaves_the_callers_arithmetic_alone() -> None:
    with localcontext(Context(prec=5)):
        for _ in positions([event(1, TOPUP, "1"), event(2, TOPUP, "2")]):
            assert getcontext().prec == 5


def test_events_are_read_as_they_come_and_not_gathered_first() -> None:
    endless = (event(number, TOPUP, "1") for number in itertools.count(1))

    assert [p.position for p in itertools.islice(positions(endless), 3)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (event(1, TOPUP, "1"), event(2, TOPUP, "1")),
        (event(9, TOPUP, "1"), event(1, TOPUP, "1", user=BOB)),
    ],
    ids=["of one user", "of two users"],
)
def test_events_out_of_order_are_refused(earlier: Event, later: Event) -> None:
    assert len(list(positions([earlier, later]))) == 2
    with pytest.raises(ValueError, match="come"):
        list(positions([later, earlier]))


def test_ties_are_ordered_by_when_recorded_and_then_by_id() -> None:
    def at(created: int, number: int) -> Event:
        recorded = START + timedelta(seconds=created)
        return Event(ALICE, UUID(int=number), None, TOPUP, START, recorded, Decimal(1))

    assert len(list(positions([at(1, 9), at(2, 1), at(2, 2)]))) == 3
    for wrong in ([at(2, 1), at(1, 9)], [at(2, 2), at(2, 1)], [at(2, 1), at(2, 1)]):
        with pytest.raises(ValueError, match="precedes"):
            list(positions(wrong))


def test_the_reference_leans_on_nothing_of_the_toolkit_but_its_errors() -> None:
    tree = ast.parse(Path(reference.__file__).read_text("utf-8"))
    imported = {
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert {name for name in imported if name.startswith("toolkit")} <= {"toolkit.errors"}


amounts = st.decimals(-1000, 1000, places=3)
shown = st.decimals(0, 1000, places=3)
steps = st.one_of(
    st.tuples(st.just(READING), shown, st.none()),
    st.tuples(st.just(TOPUP), shown, st.none() | shown),
    st.tuples(st.just(ADJUSTMENT), amounts, st.none() | shown),
)


@given(st.lists(steps, max_size=12))
def test_positions_are_the_last_anchor_plus_every_delta_since(
    history: list[tuple[str, Decimal, Decimal | None]],
) -> None:
    events = [
        Event(ALICE, UUID(int=n), None, kind, START, START, kwh, observed)
        for n, (kind, kwh, observed) in enumerate(history)
    ]
    found = list(positions(events))

    # The same rules once more, from their words: quadratic, and without a running state.
    anchors = [kwh if kind == READING else observed for kind, kwh, observed in history]
    deltas = [Decimal(0) if kind == READING else kwh for kind, kwh, _ in history]

    def position(at: int) -> Decimal:
        known = [i for i in range(at + 1) if anchors[i] is not None]
        if not known:
            return sum(deltas[: at + 1], Decimal(0))
        return (anchors[known[-1]] or Decimal(0)) + sum(deltas[known[-1] + 1 : at + 1], Decimal(0))

    for at, result in enumerate(found):
        assert result.position == position(at)
        anchor = anchors[at]
        if anchor is None or at == 0:
            assert result.consumption is None
        else:
            assert result.consumption == position(at - 1) + deltas[at] - anchor
