"""The symptoms that troubleshooting.md names are words that the product really says."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.support.processes import CHECKOUT

PAGE = CHECKOUT / "docs" / "troubleshooting.md"
SPAN = re.compile(r"`([^`]+)`")
# What stands for a value: in Python's texts, in PL/pgSQL's and on the page.
VALUE = re.compile(r"\{[^{}]*\}|%\w?\b|%")
# Symptoms that others say.
NOT_OURS = {"meterledger_audit_differences > 0", "health", "pg_dump", "pg_restore", "leak"}
NOT_OURS |= {"token_events_visible_id"}


def symptoms() -> list[str]:
    cells = (line.split(" | ")[0] for line in PAGE.read_text("utf-8").splitlines())
    found = [span for cell in cells if cell.startswith("| ") for span in SPAN.findall(cell)]
    return [span for span in found if span not in NOT_OURS]


@cache
def messages() -> str:
    """Every text of the toolkit, and every message of the migrations, a line each."""
    texts: list[str] = []
    for file in (CHECKOUT / "toolkit").rglob("*.py"):
        texts += (said(node) for node in ast.walk(ast.parse(file.read_text("utf-8"))))
    for file in (CHECKOUT / "supabase" / "migrations").glob("*.sql"):
        raised = re.findall(r"raise exception\s+((?:'(?:[^']|'')*'\s*)+)", file.read_text("utf-8"))
        texts += (re.sub(r"'\s+'|^'|'\s*$", "", text) for text in raised)
    return "\n".join(VALUE.sub("…", " ".join(text.split())) for text in texts if text)


def said(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        return "".join(map(str, parts))
    return ""


def is_said(symptom: str) -> bool:
    parts = [re.escape(part) for part in symptom.split("…")]
    return re.search(r"[^\n]*?".join(parts), messages()) is not None


@pytest.mark.parametrize("symptom", symptoms())
def test_it_is_said(symptom: str) -> None:
    assert is_said(symptom), f"nothing says this: {symptom}"


def test_there_are_symptoms_of_each_kind() -> None:
    assert len(symptoms()) > 25
    assert not is_said("the host of … is a teapot")
    assert is_said("the data migration cannot start: …")
