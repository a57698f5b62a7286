"""Skips are counted and printed, and in CI only those that the documentation lists may be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

SKIPS_PAGE = Path(__file__).parents[2] / "docs" / "skips.md"


def reason_of(longrepr: object) -> str:
    """The words of a skip; pytest keeps them as (file, line, 'Skipped: words')."""
    words = str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
    return words.removeprefix("Skipped: ")


def allowed_reasons(page: Path = SKIPS_PAGE) -> list[str]:
    """The reasons that the page lists: what stands between back-quotes after a dash."""
    text = page.read_text("utf-8") if page.is_file() else ""
    return re.findall(r"^- `([^`]+)`", text, re.MULTILINE)


def unlisted(reasons: Iterable[str], allowed: list[str]) -> list[str]:
    """The reasons that begin with none of the allowed ones."""
    return sorted({r for r in reasons if not any(r.startswith(known) for known in allowed)})


def summary(reasons: Counter[str]) -> list[str]:
    """Lines to print: how often each reason was given."""
    return [f"{count} x {reason}" for reason, count in sorted(reasons.items())]
