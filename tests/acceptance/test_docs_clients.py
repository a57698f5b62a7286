"""docs/clients.md: each block does what it says, the first ones before the cutover too."""

from __future__ import annotations

import json
from typing import Any

import pytest

from supabase import create_client
from tests.support.code_blocks import CodeBlock, code_blocks
from tests.support.js_client import js_client
from tests.support.postgrest import postgrest
from tests.support.processes import CHECKOUT
from tests.support.rollout import apply
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint

BLOCKS = list(code_blocks(CHECKOUT / "docs" / "clients.md"))
CUT_OVER = "select ledger.cut_over('{upserts,functions,policies,realtime}')"


@pytest.mark.parametrize("cut_over", [False, True], ids=["before", "after"])
def test_the_client_guide_is_true(make_database: MakeDatabase, cut_over: bool) -> None:
    database = make_database(StartingPoint.DUAL_WRITE)
    apply(database, time_zone="UTC")
    database.rows("update ledger.settings set time_zone = 'UTC'")
    user = database.add_user()
    if cut_over:
        database.rows(CUT_OVER)
    blocks = [block for block in BLOCKS if cut_over or block.section.startswith("The same")]
    assert len(blocks) > 7
    with postgrest(database) as rest, js_client(rest, user) as client:
        supabase = create_client(rest.url, rest.keys.anon)
        supabase.postgrest.auth(rest.keys.user(user))
        scope = {"supabase": supabase, "user": {"id": str(user)}}
        for block in blocks:
            printed = client.run(block.code) if block.language == "js" else run(block, scope)
            assert printed == block.prints, block.code


def run(block: CodeBlock, scope: dict[str, Any]) -> list[Any]:
    """Run Python; what it printed, as JSON knows it."""
    printed: list[Any] = []
    exec(block.code, {**scope, "print": printed.append})  # noqa: S102 - our own docs
    return [json.loads(json.dumps(value, default=str)) for value in printed]
