"""What a restore has to say: frozen results for the command to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Progress = Callable[[str, int], None]
"""Called while rows are loaded, with the table's name and its rows so far."""


@dataclass(frozen=True)
class LeftOut:
    """Something of the dump that the scratch database lacks.

    Attributes:
        name: with its schema, as pg_dump names it.
        type: pg_dump's word, such as VIEW or TRIGGER.
        reason: the server's words, or ours.
    """

    name: str
    type: str
    reason: str


@dataclass(frozen=True)
class RestoreReport:
    """What was restored, and what was not.

    Attributes:
        format: plain, custom, directory or tar.
        gzipped: whether the file was compressed as a whole.
        dumped_from: the version of the server that was dumped, such as '15.8'.
        rows: rows loaded by table ('schema.table'), as counted in the database; the needed
            tables are always there, with 0 where the dump holds no rows.
        auth_users_kept: rows of the dump's auth.users; only ids and e-mail addresses.
        auth_users_made: ids without a row in auth.users, for which one was made.
        left_out: objects that cannot be had here, without those that hang on them.
        schemas_skipped: Supabase's own schemas, which the bootstrap stands in for.
        roles_made: owners and grantees of the dump, unknown here, made without login.
        owners: owners other than postgres; the copy's objects belong to postgres, the real
            rollout must run as a role that owns them.
        grants_assumed: the dump has no grants (--no-acl), so Supabase's usual ones stand in.
        seconds: how long it took.
    """

    format: str
    gzipped: bool
    dumped_from: str | None
    rows: Mapping[str, int]
    auth_users_kept: int
    auth_users_made: int
    left_out: tuple[LeftOut, ...]
    schemas_skipped: tuple[str, ...]
    roles_made: tuple[str, ...]
    owners: tuple[str, ...]
    grants_assumed: bool
    seconds: float
