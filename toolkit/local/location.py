"""Where a server's data lives: in its folder, or, where root's server may not enter, outside."""

from __future__ import annotations

import hashlib
from pathlib import Path

from toolkit.errors import OperationalError
from toolkit.local.account import Account
from toolkit.local.publish import check_ours, our_folder, shared_base

DATA = "data"
POINTER_FILE = "DATA_IS_ELSEWHERE.txt"


def existing_folders(home: Path, account: Account) -> list[Path]:
    """The folders that hold a server's data now; makes nothing. One, but for odd histories.

    Raises:
        OperationalError: somebody else made the folder outside.
    """
    found = [home] if (home / DATA).is_dir() else []
    if account.switches:
        outside = _outside(home, account)
        if outside.exists():
            check_ours(outside)
            found.insert(0, outside)
    return found


def work_folder(home: Path, account: Account) -> Path:
    """The folder that holds the data, the log and the configuration of a server; made if need be.

    It is `home` itself, unless we are root and the account that runs PostgreSQL cannot
    pass through a folder above it (a private temporary folder, /root): then a folder in
    /var/tmp named by a hash of `home`, with a pointer for people in `home`.

    Raises:
        OperationalError: data in `home` has become unreachable, or somebody else made
            the folder outside.
    """
    account.make_folder(home)
    if not account.switches:
        return home
    outside = _outside(home, account)
    if not outside.exists() and account.can_enter(home):
        return home
    if (home / DATA).is_dir():
        raise OperationalError(
            f"the data in {home} cannot be reached by uid {account.uid}, which runs the server",
            next_step="let every account pass through the folders above it (chmod o+x), "
            "or start afresh with meterledger local reset",
        )
    folder = our_folder(outside.parent, outside.name)
    pointer = home / POINTER_FILE
    if not pointer.exists():
        pointer.write_text(
            f"{folder}\n\nThe account that runs PostgreSQL may not enter this project's folder,\n"
            "so the local server's data is there. `meterledger local reset` removes it.\n",
            "utf-8",
        )
    return folder


def _outside(home: Path, account: Account) -> Path:
    key = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:16]
    return shared_base(account) / f"meterledger-{key}"
