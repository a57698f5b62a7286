"""Receipts: signed, of the right environment, green, fresh, and of the very same files."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from toolkit.errors import FindingsError, MeterledgerError, UsageError
from toolkit.operations.promote.receipt import Receipt, check_key, read, require, sign, write

KEY = "k" * 32
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PHASES = {"20261101000000": "a" * 64, "20261101000100": "b" * 64}
GREEN = Receipt(
    environment="staging",
    database="postgres@host:5432/postgres",
    phases=PHASES,
    fingerprint="c" * 64,
    validation={"valid": True, "differences": 0},
    isolation={"isolated": True, "findings": 0},
    versions={"meterledger": "0.1"},
    git_commit="",
    made_at=(NOW - timedelta(hours=1)).isoformat(),
)


def demanded(receipt: Receipt, signature: str | None = None, key: str = KEY) -> None:
    require(
        receipt,
        sign(receipt, KEY) if signature is None else signature,
        key,
        environment="staging",
        phases=PHASES,
        now=NOW,
    )


def test_a_green_receipt_vouches() -> None:
    demanded(GREEN)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"environment": "elsewhere"}, "is of elsewhere, not of staging"),
        ({"validation": {"valid": False, "differences": 3}}, "3 differences in validation"),
        ({"isolation": {"isolated": False, "findings": 2}}, "2 findings in isolation"),
        ({"validation": {}}, "was not proven"),
        ({"made_at": (NOW - timedelta(hours=25)).isoformat()}, "older than 24 hours"),
        ({"made_at": (NOW + timedelta(hours=1)).isoformat()}, "from the future"),
        ({"phases": PHASES | {"20261101000100": "d" * 64}}, "other files: 20261101000100"),
        ({"phases": {"20261101000000": "a" * 64}}, "other files: 20261101000100"),
        ({"phases": PHASES | {"20270101000000": "e" * 64}}, "other files: 20270101000000"),
    ],
)
def test_anything_else_does_not(changes: dict[str, object], words: str) -> None:
    with pytest.raises(FindingsError, match=words) as caught:
        demanded(replace(GREEN, **changes))  # type: ignore[arg-type] # whatever a field holds
    assert "meterledger" in caught.value.next_step or "files" in caught.value.next_step


@pytest.mark.parametrize(
    "changes",
    [
        {"database": "postgres@other:5432/postgres"},
        {"fingerprint": "f" * 64},
        {"isolation": {"isolated": True, "findings": 1}},
        {"made_at": NOW.isoformat()},
    ],
)
def test_a_receipt_that_was_changed_is_not_signed(changes: dict[str, object]) -> None:
    forged = replace(GREEN, **changes)  # type: ignore[arg-type] # whatever a field holds
    with pytest.raises(FindingsError, match="not signed with this"):
        demanded(forged, sign(GREEN, KEY))


def test_another_key_signs_nothing() -> None:
    with pytest.raises(FindingsError, match="not signed with this"):
        demanded(GREEN, key="x" * 32)


@pytest.mark.parametrize("key", [None, "", "short"])
def test_a_key_must_be_one(key: str | None) -> None:
    with pytest.raises(UsageError, match="METERLEDGER_RECEIPT_KEY") as caught:
        check_key(key)
    assert "token_hex" in caught.value.next_step


def test_a_file_gives_the_receipt_back(tmp_path: Path) -> None:
    file = tmp_path / "receipts" / "staging.json"
    write(file, GREEN, sign(GREEN, KEY))

    receipt, signature = read(file)

    assert receipt == GREEN
    demanded(receipt, signature)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"receipt": {}, "signature": "x"}', '{"receipt": 1, "signature": "x"}'],
)
def test_a_file_that_is_no_receipt_is_one_error(tmp_path: Path, content: str) -> None:
    file = tmp_path / "receipt.json"
    file.write_text(content)
    with pytest.raises(MeterledgerError):
        read(file)
