"""Many legacy rows move in one transaction only where the operator says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.operations.test_deploy_command import Desk
from tests.support.database import Database
from tests.support.deploying import QUICK, deploys, refused, words_of
from tests.support.rollout import apply, before, history
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from toolkit.errors import UsageError
from toolkit.operations.deploy import DeployOptions, plan_deploy
from toolkit.operations.deploy.guard import MOST_ROWS_AT_ONCE, require_few_at_once
from toolkit.operations.rollback.steps import DATA_PHASE
from toolkit.rollout import phases

MANY = MOST_ROWS_AT_ONCE + 1


@pytest.fixture
def app(make_database: MakeDatabase) -> Database:
    """A legacy app with more rows than move at once."""
    database = make_database(StartingPoint.LEGACY_ONLY)
    user = database.add_user()
    database.rows(
        "insert into electricity_readings (user_id, date, kwh_value)"
        " select %s, '2026-01-01', 5 from generate_series(1, %s)",
        (user, MANY),
    )
    return database


def test_the_limit_and_what_lifts_it() -> None:
    require_few_at_once(MOST_ROWS_AT_ONCE, QUICK)
    require_few_at_once(MANY, replace(QUICK, defer_backfill=True))
    require_few_at_once(MANY, replace(QUICK, one_transaction=True))
    with pytest.raises(UsageError, match=f"move {MANY:,} legacy rows in one transaction"):
        require_few_at_once(MANY, QUICK)
    with pytest.raises(UsageError, match="say the opposite"):
        DeployOptions(defer_backfill=True, one_transaction=True)


def test_it_is_refused_before_anything_changes(app: Database) -> None:
    error = refused(app)
    assert error.exit_code == 2
    assert "--defer-backfill" in error.next_step
    assert "--in-one-transaction" in error.next_step
    assert app.value("select to_regnamespace('ledger') is null")


def test_what_counts_is_what_would_move(app: Database) -> None:
    def at_once(through: str | None = None) -> int:
        return plan_deploy(app.url, through=through).rows_at_once

    assert at_once() == MANY
    assert at_once("20261101000400") == 0
    apply(app, before(DATA_PHASE), time_zone="UTC")
    assert at_once() == MANY
    app.rows("update ledger.settings set defer_backfill = true")
    assert at_once() == 0
    app.rows("update ledger.settings set defer_backfill = false")
    app.rows("select ledger.migrate_data()")  # what has moved does not wait any more
    assert at_once() == 0
    apply(app, [phase for phase in phases() if phase.version >= DATA_PHASE])
    app.rows("select ledger.undo_data_migration()")
    assert at_once() == 0  # rows wait, and nothing is left to push


@pytest.mark.parametrize(
    ("told", "moved"), [({"defer_backfill": True}, 0), ({"one_transaction": True}, MANY)]
)
def test_both_ways_out_are_deployed(app: Database, told: dict[str, bool], moved: int) -> None:
    apply(app, before(DATA_PHASE), time_zone="UTC")
    assert "in one transaction" in words_of(refused(app))
    deploys(app, replace(QUICK, through=DATA_PHASE, **told))  # type: ignore[arg-type]
    assert history(app)[-1] == DATA_PHASE
    assert app.value("select count(*) from ledger.migrated_readings") == moved


def test_the_command_refuses_before_it_asks(app: Database, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.has("staging", app)
    typed = desk.types("staging")  # without a terminal: asked first, it would miss --yes
    assert typed.code == 2
    assert "--in-one-transaction" in typed.err
    plan = desk.types("staging", "--plan")
    assert plan.code == 2
    assert f"moves {MANY:,} legacy rows in one transaction" in plan.out
    told = desk.types("staging", "--plan", "--json", "--defer-backfill")
    assert (told.code, json.loads(told.out)["rows_at_once"]) == (0, MANY)
    assert desk.types("staging", "--defer-backfill", "--in-one-transaction").code == 2
    assert app.value("select to_regnamespace('ledger') is null")
