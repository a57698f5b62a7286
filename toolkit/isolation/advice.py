"""Asks Supabase's advisors about a database, with the real CLI."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from toolkit import settings
from toolkit.connection import HIDDEN, redact
from toolkit.errors import OperationalError
from toolkit.rollout.project import project
from toolkit.rollout.push import (
    LAST_LINES,
    NO_WAITING_ON_THE_NETWORK,
    NOT_RUN,
    answer_of,
    cannot_run,
    end_cli,
    reason_of,
    start_cli,
    without_password,
)

TRIED_WITH = "3.1.0"
_PATIENCE_SECONDS = 60.0  # it needs half a second; a lock that somebody holds makes it wait
# Lints about a part of a relation; the part's name is the end of their cache key.
_PARTS = {
    "auth_rls_initplan": "policy",
    "rls_references_user_metadata": "policy",
    "rls_policy_always_true": "policy",
    "unused_index": "index",
    "unindexed_foreign_keys": "constraint",
    "fkey_to_auth_unique": "constraint",
    "unsupported_reg_types": "column",
}


@dataclass(frozen=True)
class Advice:
    """One result of the advisors.

    Attributes:
        lint: the lint's name.
        level: error, warn or info.
        text: what it says, one sentence.
        remedy: where it says how to mend that.
        part: what it is about: relation, policy, index, constraint, column, function, extension.
        schema: of the relation or function; empty for an extension.
        name: of the relation, function or extension.
        detail: the part's own name; of a function the digest of its body.
    """

    lint: str
    level: str
    text: str
    remedy: str
    part: str
    schema: str
    name: str
    detail: str


@cache
def version_of(cli: Path) -> str:
    """The CLI's version; the cheapest way to see whether it can be run.

    Raises:
        OperationalError: it cannot be run.
    """
    code, output, errors = _run(cli, ["--version"])
    if code in NOT_RUN:
        raise cannot_run(errors or output)
    found = re.search(r"\d+\.\d+\.\d+\S*", output)
    return found[0] if found else "of an unknown version"


def ask(cli: Path, version: str, database_url: str, exposed: Iterable[str]) -> list[Advice]:
    """What the advisors say of a database, of every level.

    Args:
        cli: the program.
        version: its version, for the message.
        database_url: a direct or session connection, as the owner.
        exposed: the schemas that the REST API serves.

    Raises:
        UsageError: the URL cannot be parsed.
        OperationalError: the CLI gave no results.
    """
    url, password = without_password(database_url)
    environment = {"PGPASSWORD": password} if password else {}
    options = ["--type", "all", "--level", "info", "--fail-on", "none", "--output-format", "json"]
    code, output, errors = _run(
        cli, ["db", "advisors", "--remote", url, *options], environment, exposed
    )
    results = answer_of(output).get("results")
    if code == 0 and isinstance(results, list) and all(isinstance(r, dict) for r in results):
        return [_advice(result) for result in results]
    reason = reason_of(output, errors) if code else "it answered without a list of results"
    lines = redact(errors).splitlines()[-LAST_LINES:]
    raise OperationalError(
        f"supabase db advisors failed: {_hide(reason.splitlines()[0], password)}",
        next_step="mend the cause and run the same command again; meterledger was tried with "
        f"Supabase CLI {TRIED_WITH}, this one is {version}",
        details=tuple(_hide(line, password) for line in lines),
    )


def _run(
    cli: Path, words: list[str], extra: Mapping[str, str] | None = None, exposed: Iterable[str] = ()
) -> tuple[int, str, str]:
    """Run the CLI in a folder of its own, for it leaves things in its temporary folder."""
    with project((), ()) as folder:
        # The lints look into the schemas that the REST API serves, which the CLI knows from here.
        config = f"[api]\nschemas = {json.dumps(list(exposed))}\n"
        (folder / "supabase" / "config.toml").write_text(config, "utf-8")
        environment = settings.child_environment({**NO_WAITING_ON_THE_NETWORK, **(extra or {})})
        process = start_cli(
            [str(cli), *words, "--workdir", str(folder)], {**environment, "TMPDIR": str(folder)}
        )
        try:
            output, errors = process.communicate(timeout=_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            end_cli(process)
            raise OperationalError(
                f"supabase {' '.join(words[:2])} gave no answer in {_PATIENCE_SECONDS:g} seconds",
                next_step="end the sessions that hold locks (pg_stat_activity), and run it again",
            ) from None
        except BaseException:
            end_cli(process)
            raise
    return process.returncode, output, errors


def _advice(result: Mapping[str, Any]) -> Advice:
    metadata = result.get("metadata") or {}
    lint, kind = str(result.get("name", "")), metadata.get("type")
    part = kind if kind in ("function", "extension") else _PARTS.get(lint, "relation")
    name = metadata.get("name")
    if "extension_name" in metadata:
        part, name = "extension", metadata["extension_name"]
    schema = "" if part == "extension" else str(metadata.get("schema") or "")
    sentence = " ".join(str(result.get("detail") or result.get("title") or "").split())
    return Advice(
        lint=lint,
        level=str(result.get("level", "")).lower(),
        text=sentence.partition(". ")[0].removesuffix("."),
        remedy=str(result.get("remediation") or "see the advisor's documentation"),
        part=part,
        schema=schema,
        name=str(name or ""),
        detail=str(result.get("cacheKey", "")).partition(f"_{schema}_{name}_")[2],
    )


def _hide(text: str, password: str | None) -> str:
    """Without the password, should the CLI repeat it bare."""
    return text.replace(password, HIDDEN) if password and len(password) > 2 else text
