"""One operator a module: commands share what they keep."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.operator import Operator, an_operator


@pytest.fixture(scope="module")
def operator() -> Iterator[Operator]:
    """Somebody with a data folder of their own."""
    with an_operator() as somebody:
        yield somebody
        assert somebody.leftovers() == []
