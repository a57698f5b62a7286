"""The data migration beside a COPY of the rows that it inserts, a row loop, and itself again."""

from __future__ import annotations

from collections.abc import Callable

from toolkit.connection import connect
from toolkit.demo.copying import copy_seconds, make_twin
from toolkit.operations.backfill import BackfillOptions, run_backfill
from toolkit.rollout.push import push
from toolkit.trial import last_run
from tools.bench.measure import Comparison, Variant, seconds_of
from tools.bench.stage import APP, BEFORE, USERS, ZONE, Stage, user_id

LOOP_ROWS = 5_000
BATCH_ROWS = 50_000

# What a script of one's own would do, beside the projector that keeps readers current.
_ROW_LOOP = """
do $$
declare
  v_row record;
begin
  for v_row in
    select r.* from public.electricity_readings as r
    where r.user_id between {first} and {last}
    order by r.created_at, r.id limit {rows}
  loop
    insert into public.token_events
      (user_id, event_type, event_date, kwh_amount, token_cost, notes, created_at)
    values (
      v_row.user_id, 'METER_READING', v_row.date + interval '12 hours', v_row.kwh_value,
      v_row.token_cost, v_row.notes, coalesce(v_row.created_at, now())
    );
  end loop;
end;
$$
"""


class Quiet:
    """Hears a backfill's progress and says nothing."""

    def step(self, name: str) -> None:
        """A step begins."""

    def progress(self, done: int, total: int) -> None:
        """How far it is."""

    def note(self, text: str) -> None:
        """Something worth a line."""


def measure(stage: Stage) -> None:
    """Leaves the database APP behind, migrated, with every phase applied."""
    rates: dict[str, list[float]] = {}

    def took(name: str, rows: int, seconds: float) -> None:
        rates.setdefault(name, []).append(rows / seconds)

    for number in range(stage.rounds):
        stage.tell(f"move the data, round {number + 1} of {stage.rounds}")
        _one_round(stage, took)
    stage.add(
        Comparison(
            "move",
            "Moving legacy rows into events, rows a second",
            stage.rows,
            "1/s",
            "COPY of the inserted rows",
            tuple(Variant(name, tuple(samples)) for name, samples in rates.items()),
        )
    )
    _finish(stage)


def move(stage: Stage) -> None:
    """As measure leaves it, without measuring."""
    stage.copy_database(BEFORE, APP)
    _finish(stage)


def _finish(stage: Stage) -> None:
    push(stage.server.url(APP), time_zone=ZONE)
    with connect(stage.server.admin_url(APP), autocommit=True) as connection:
        connection.execute("vacuum analyze")


def _one_round(stage: Stage, took: Callable[[str, int, float], None]) -> None:
    server = stage.server
    stage.copy_database(BEFORE, APP)
    twin = make_twin(server, APP)
    with connect(server.url(APP)) as connection:
        total = seconds_of(lambda: connection.execute("select ledger.migrate_data()"))
        connection.commit()
        inserting = last_run(connection)["insert"]
        inserted, moved = connection.execute(
            "select count(*) filter (where not completed), count(*) from ledger.migrated_readings"
        ).fetchone() or (0, 0)
        again = seconds_of(lambda: connection.execute("select ledger.migrate_data()"))
        connection.commit()
    took("COPY of the inserted rows", inserted, copy_seconds(server, APP, twin))
    took("the migration's inserts", inserted, inserting)
    took("the whole migration: matching, inserts, proof", moved, total)
    took("the migration again, nothing to do", moved, again)
    stage.copy_database(BEFORE, twin)
    ends = {"first": user_id(2_000, "0"), "last": user_id(2_000, str(USERS[2_000] - 1))}
    loop = _ROW_LOOP.format(rows=LOOP_ROWS, **ends)
    with connect(server.url(twin)) as connection:
        took("a row loop", LOOP_ROWS, seconds_of(lambda: connection.execute(loop.encode())))
        connection.rollback()
    options = BackfillOptions(batch_rows=BATCH_ROWS, share=1.0)
    backfill = seconds_of(lambda: run_backfill(server.url(twin), options, Quiet()))
    took("backfill in batches, committed and proven", moved, backfill)
    stage.drop_database(twin)
