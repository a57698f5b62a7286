"""The backups that there are: which are sound, which are proven, which may go."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from toolkit.errors import MeterledgerError, OperationalError, UsageError
from toolkit.local.account import remove_tree
from toolkit.operations.backup.folder import PARTIAL_PREFIX, being_proven
from toolkit.operations.backup.manifest import Manifest, read_manifest

_NAME = re.compile(r"\d{8}T\d{6}Z(?:-\d+)?")
_BLOCK_BYTES = 1024 * 1024


class ProofState(StrEnum):
    """How far a backup's proof, its restore, has come."""

    PROVEN = "proven"
    FAILED = "proof failed"
    RUNNING = "proof running"
    INTERRUPTED = "proof interrupted"
    NONE = "not proven"  # --no-verify


@dataclass(frozen=True)
class Backup:
    """One backup as it lies in its folder.

    Attributes:
        path: its folder.
        manifest: None where it cannot be read.
        problem: why it is no good; None where nothing is known against it.
        proof: how far it has come.
    """

    path: Path
    manifest: Manifest | None
    problem: str | None = None
    proof: ProofState = ProofState.NONE

    @property
    def name(self) -> str:
        """The folder's name: when it was made, in UTC."""
        return self.path.name

    @property
    def verified(self) -> bool:
        """Proven by a restore, and nothing is known against it."""
        return self.manifest is not None and self.manifest.verified and self.problem is None

    def age(self, now: datetime | None = None) -> timedelta | None:
        """How long ago it was made."""
        if self.manifest is None:
            return None
        return (now or datetime.now(UTC)) - self.manifest.made


def backups(root: Path, environment: str, *, check: bool = False) -> tuple[Backup, ...]:
    """The backups of an environment, the newest first; also those that cannot be read.

    Args:
        root: their folder; it need not be there.
        environment: another one's backups in the same folder are passed over.
        check: read every file, and compare its sum with the manifest's.
    """
    if not root.is_dir():
        return ()
    found = []
    for path in root.iterdir():
        if path.is_dir() and not path.is_symlink() and _NAME.fullmatch(path.name):
            backup = examine(path, check=check)
            if backup.manifest is None or backup.manifest.environment == environment:
                found.append(backup)
    return tuple(sorted(found, key=_order, reverse=True))


def examine(path: Path, *, check: bool) -> Backup:
    """Look at one backup: its manifest, its files' sizes and, with `check`, their sums."""
    # Asked before the manifest is read: a proof that ends in between is seen as ended.
    locked = being_proven(path)
    try:
        manifest = read_manifest(path)
    except MeterledgerError as error:
        return Backup(path, None, error.message)
    return Backup(path, manifest, _problem(path, manifest, check), _proof(manifest, locked))


def _problem(path: Path, manifest: Manifest, check: bool) -> str | None:
    for name, stored in manifest.files.items():
        file = path / name
        try:
            size = file.stat().st_size
            if size != stored.size:
                return f"{name} has {size} bytes, not {stored.size}"
            if check and _sum(file) != stored.sha256:
                return f"{name} has changed: its sha256 is another"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return None


def _proof(manifest: Manifest, locked: bool | None) -> ProofState:
    """What the manifest says goes first: it is written before the lock is given back."""
    if manifest.verified:
        return ProofState.PROVEN
    if manifest.differences:
        return ProofState.FAILED
    if locked is None:
        return ProofState.NONE
    return ProofState.RUNNING if locked else ProofState.INTERRUPTED


def newest_verified(root: Path, environment: str, *, check: bool = False) -> Backup | None:
    """The newest backup that a restore has proven; None without one."""
    for backup in backups(root, environment):
        if backup.verified and (not check or examine(backup.path, check=True).verified):
            return backup
    return None


def to_prune(
    found: tuple[Backup, ...], retention_days: int, now: datetime | None = None
) -> tuple[Backup, ...]:
    """Backups with an interrupted proof, and verified ones older than the retention.

    The former go however young they are: nobody works on them any more, and nothing is known of
    them. The newest verified one stays.
    """
    verified = [backup for backup in found if backup.verified]
    keep = timedelta(days=retention_days)
    moment = now or datetime.now(UTC)
    old = [b for b in verified[1:] if (b.age(moment) or keep) > keep]
    return tuple(b for b in found if b in old or b.proof is ProofState.INTERRUPTED)


def remove(backup: Backup) -> None:
    """Remove a backup; one that is half removed is recognised as no backup.

    Raises:
        OperationalError: the disk refuses.
    """
    doomed = backup.path.with_name(f"{PARTIAL_PREFIX}removed-{backup.name}")
    try:
        backup.path.rename(doomed)
    except OSError as error:
        raise OperationalError(
            f"{backup.path} cannot be removed: {error.strerror}",
            next_step="check who owns the backup folder, then run the command again",
        ) from error
    remove_tree(doomed)


def find(root: Path, environment: str, name: str | None) -> Backup:
    """The backup of that name, or the newest verified one, with its sums checked.

    Raises:
        UsageError: there is none.
        OperationalError: it is damaged.
    """
    if name is not None:
        if not _NAME.fullmatch(name) or not (root / name).is_dir():
            raise UsageError(
                f"there is no backup {name} of {environment}",
                next_step=f"meterledger backup list {environment} shows what there is",
            )
        return sound(root / name)
    newest = newest_verified(root, environment)
    if newest is None:
        raise UsageError(
            f"there is no verified backup of {environment}",
            next_step=f"make one with meterledger backup {environment}, or name another's folder",
        )
    return sound(newest.path)


def sound(path: Path) -> Backup:
    """A backup whose files are what its manifest says.

    Raises:
        OperationalError: they are not.
    """
    backup = examine(path, check=True)
    if backup.problem is not None:
        raise OperationalError(
            f"backup {backup.name} is damaged: {backup.problem}",
            next_step="use another one (meterledger backup list --check)",
        )
    return backup


def _order(backup: Backup) -> tuple[str, int]:
    stamp, _, number = backup.name.partition("-")
    return stamp, int(number or 1)


def _sum(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
