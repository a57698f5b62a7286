"""The manifest: what a backup holds and whether a restore of it was proven; no secret in it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from toolkit.errors import OperationalError
from toolkit.operations.backup.facts import Fact, Facts, TableFacts

MANIFEST_FILE = "manifest.json"
DUMP_FILE = "dump.custom"
USERS_FILE = "users.jsonl"
FORMAT = 1


@dataclass(frozen=True)
class StoredFile:
    """One file of a backup.

    Attributes:
        size: in bytes.
        sha256: hexadecimal.
    """

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What manifest.json says.

    Attributes:
        environment: whose backup it is.
        database: user@host:port/database, without the password.
        made_at: when the snapshot was taken, ISO 8601 with the zone.
        server_version, pg_dump_version: such as '17.10'.
        files: size and sum by file name.
        facts: rows, policies, grants, owners and objects, taken in the dump's snapshot.
        phases: sha256 of the applied phases' files by version; None where it was not recorded.
        user_triggers: statements that create the app's triggers on auth.users.
        publications: publication, schema, table, and whether wholly published.
        extensions: schema by extension.
        verified: a restore gave back everything above.
        verified_at: when; None until then.
        differences: why it is not verified.
        left_out: of the app's own, beside the rollout, what the proof's server cannot have.
    """

    environment: str
    database: str
    made_at: str
    server_version: str
    pg_dump_version: str
    files: Mapping[str, StoredFile]
    facts: Facts
    phases: Mapping[str, str | None]
    user_triggers: tuple[str, ...] = ()
    publications: tuple[tuple[str, str, str, bool], ...] = ()
    extensions: Mapping[str, str] = field(default_factory=dict)
    verified: bool = False
    verified_at: str | None = None
    differences: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def major(self) -> int:
        """PostgreSQL's major version of the original."""
        return int(self.server_version.split(".")[0])

    @property
    def size(self) -> int:
        """All files, in bytes."""
        return sum(file.size for file in self.files.values())

    @property
    def made(self) -> datetime:
        """When the snapshot was taken."""
        return datetime.fromisoformat(self.made_at)

    def as_object(self) -> dict[str, Any]:
        """For the file and for --json."""
        dump = self.files[DUMP_FILE]
        whole = asdict(self)
        return {"format": FORMAT, "sha256": dump.sha256, "size": dump.size, **whole}


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it whole or not at all: another name first, then renamed."""
    text = json.dumps(manifest.as_object(), indent=1, ensure_ascii=False) + "\n"
    draft = folder / f".{MANIFEST_FILE}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(folder / MANIFEST_FILE)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def read_manifest(folder: Path) -> Manifest:
    """Read it back.

    Raises:
        OperationalError: it is missing or damaged.
    """
    try:
        found = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
        if found["format"] != FORMAT:
            raise _damaged(folder, f"it is of format {found['format']}, not {FORMAT}")
        return _manifest(found)
    except FileNotFoundError as error:
        raise _damaged(folder, "it is missing") from error
    except OSError as error:
        raise _damaged(folder, error.strerror or "it cannot be read") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder, "it is no manifest") from error


def _manifest(found: Mapping[str, Any]) -> Manifest:
    facts = found["facts"]
    manifest = Manifest(
        environment=str(found["environment"]),
        database=str(found["database"]),
        made_at=str(found["made_at"]),
        server_version=str(found["server_version"]),
        pg_dump_version=str(found["pg_dump_version"]),
        files={name: StoredFile(**file) for name, file in found["files"].items()},
        facts=Facts(
            tables={name: TableFacts(**table) for name, table in facts["tables"].items()},
            users=TableFacts(**facts["users"]) if facts["users"] is not None else None,
            policies=tuple(Fact(**fact) for fact in facts["policies"]),
            grants=tuple(Fact(**fact) for fact in facts["grants"]),
            owners=tuple(Fact(**fact) for fact in facts["owners"]),
            objects=tuple(Fact(**fact) for fact in facts["objects"]),
            sequences=dict(facts["sequences"]),
        ),
        phases=dict(found["phases"]),
        user_triggers=tuple(found["user_triggers"]),
        publications=tuple((p, s, t, whole) for p, s, t, whole in found["publications"]),
        extensions=dict(found["extensions"]),
        verified=found["verified"] is True,
        verified_at=found["verified_at"],
        differences=tuple(found["differences"]),
        left_out=tuple(found["left_out"]),
    )
    if DUMP_FILE not in manifest.files or manifest.made.tzinfo is None or manifest.major < 1:
        raise ValueError(DUMP_FILE)
    return manifest


def _damaged(folder: Path, why: str) -> OperationalError:
    return OperationalError(
        f"the manifest of backup {folder.name} is damaged: {why}",
        next_step="use another backup (meterledger backup list), and remove this one's folder",
    )
