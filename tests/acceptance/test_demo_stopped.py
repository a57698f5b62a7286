"""meterledger demo, stopped in the middle: nothing is left, and the next one is fine."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.operator import Operator
from toolkit.errors import EXIT_OK

SMALL = ("demo", "--rows", "200", "--users", "30", "--json")


@pytest.mark.parametrize(
    ("step", "group"),
    [("start", True), ("generate", False), ("expand", True), ("migrate", False)],
)
def test_ctrl_c_leaves_nothing(operator: Operator, step: str, group: bool) -> None:
    answer = operator.interrupts(step, *SMALL, group=group)

    assert answer.code == 130, answer.err
    assert answer.out == ""
    assert answer.err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in answer.err
    assert operator.leftovers() == []
    assert operator.processes() == {}


def test_what_a_killed_one_left_is_swept_up_by_the_next(operator: Operator) -> None:
    operator.kills("20261101000100_create_event_sourcing_tables", *SMALL)
    left = operator.leftovers()

    answer = operator.types(*SMALL)

    assert sorted(name.rpartition("-")[0] for name in left) == [
        "meterledger-push",
        "meterledger-tmp",
    ]
    assert answer.code == EXIT_OK
    assert json.loads(answer.out)["valid"] is True
    assert operator.leftovers() == []
    assert operator.processes() == {}
