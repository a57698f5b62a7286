"""Writes rows for a person to work on: CSV for a spreadsheet, JSON for a program."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolkit.errors import OperationalError, UsageError

Record = Mapping[str, object]

# A spreadsheet runs a cell that begins so as a formula, and a user typed it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write(path: Path, records: Sequence[Record], *, replace: bool = False) -> None:
    """Write the records into a file that only its owner reads, whole or not at all.

    Args:
        path: ends with .csv or .json. In CSV, a text that a spreadsheet would run as a formula
            begins with an apostrophe; JSON has every value as it is.
        replace: a file of that name may be replaced.

    Raises:
        UsageError: another suffix, or the file is there already.
        OperationalError: it cannot be written.
    """
    check(path, replace=replace)
    text = _csv(records) if path.suffix.lower() == ".csv" else _json(records)
    try:
        # Made for the owner only, and moved to its name when it is whole.
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=".meterledger-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            Path(scratch).replace(path)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OperationalError(
            f"{path} cannot be written: {error.strerror}",
            next_step="name a file in a folder that is there and yours, on a disk with space left",
        ) from error


def check(path: Path, *, replace: bool) -> None:
    """Stop before anything is read.

    Raises:
        UsageError: the suffix is no format, or the file is there already.
    """
    if path.suffix.lower() not in (".csv", ".json"):
        raise UsageError(
            f"{path.name} says no format", next_step="name a file that ends with .csv or .json"
        )
    if path.exists() and not replace:
        raise UsageError(f"{path} is there already", next_step="name another file, or --replace")


def _json(records: Sequence[Record]) -> str:
    return json.dumps(records, indent=2, ensure_ascii=False, default=str) + "\n"


def _csv(records: Sequence[Record]) -> str:
    flat = [_flat(record) for record in records]
    names = list(dict.fromkeys(name for record in flat for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _flat(record: Record) -> dict[str, str]:
    cells: dict[str, str] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            cells |= {f"{name}.{key}": _cell(inner) for key, inner in value.items()}
        else:
            cells[name] = _cell(value)
    return cells


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) and not _number(text) else text


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
