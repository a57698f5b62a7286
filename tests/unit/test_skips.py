"""Skips are counted, and only those that are documented may be."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.support.skips import allowed_reasons, reason_of, summary, unlisted


def test_the_words_of_a_skip_are_found() -> None:
    assert reason_of(("file.py", 3, "Skipped: no such machine")) == "no such machine"
    assert reason_of("Skipped: no such machine") == "no such machine"


def test_the_page_lists_reasons() -> None:
    assert "no programs of PostgreSQL 15 on this machine" in allowed_reasons()


def test_a_page_that_is_missing_allows_nothing(tmp_path: Path) -> None:
    assert allowed_reasons(tmp_path / "skips.md") == []


def test_a_reason_is_listed_by_its_beginning() -> None:
    allowed = ["no such machine"]

    assert unlisted(["no such machine: x86", "no such machine"], allowed) == []
    assert unlisted(["lazy", "no such machine", "lazy"], allowed) == ["lazy"]


def test_skips_are_counted_by_reason() -> None:
    assert summary(Counter({"b": 1, "a": 3})) == ["3 x a", "1 x b"]
