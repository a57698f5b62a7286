"""docs/reference says what the commands and the database say of themselves."""

from __future__ import annotations

from tests.support.database import Database
from tests.support.servers import MakeDatabase
from toolkit.bootstrap import StartingPoint
from tools.command_reference import command_reference, commands
from tools.schema_reference import schema_reference
from tools.write_reference import COMMANDS, MAJOR, SCHEMA

NEXT = "docs/reference is stale: make reference, look at the diff, commit it"
# Objects that a reader may come upon: relations (a column's own sequence belongs to it),
# functions, and types that no relation brings along.
UNCOMMENTED = """
select c.oid::regclass::text from pg_class as c
where c.relnamespace = any (%(schemas)s::regnamespace[])
  and c.relkind in ('r', 'v', 'm', 'S', 'p', 'f')
  and not exists (
    select from pg_depend
    where classid = 'pg_class'::regclass and objid = c.oid and deptype = 'i'
      and refobjsubid > 0
  )
  and obj_description(c.oid, 'pg_class') is null
union all
select p.oid::regprocedure::text from pg_proc as p
where p.pronamespace = any (%(schemas)s::regnamespace[])
  and obj_description(p.oid, 'pg_proc') is null
union all
select t.oid::regtype::text from pg_type as t
left join pg_class as c on c.oid = t.typrelid
where t.typnamespace = any (%(schemas)s::regnamespace[])
  and (t.typtype in ('e', 'd') or c.relkind = 'c') and obj_description(t.oid, 'pg_type') is null
"""
PLANTED = (
    "create table ledger.plant (id bigint)",
    "create view public.plant as select 1 as one",
    "create sequence ledger.plants",
    "create function public.plant() returns int language sql return 1",
    "create type ledger.kind_of_plant as enum ('a')",
)


def test_the_commands_are_what_their_help_says() -> None:
    assert command_reference() == COMMANDS.read_text("utf-8"), NEXT


def test_every_command_and_option_is_in_it() -> None:
    page = command_reference()

    for words, command in commands():
        assert f"meterledger {' '.join(words)}\n" in page
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or f"`{parameter.opts[0]}`" in page
    assert "\x1b" not in page


def test_the_schema_is_what_its_comments_say(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.EMPTY, migrated=True, major=MAJOR)
    with database.connect() as connection:
        assert schema_reference(connection) == SCHEMA.read_text("utf-8"), NEXT


def test_a_new_comment_makes_it_stale(make_database: MakeDatabase) -> None:
    database = make_database(StartingPoint.EMPTY, migrated=True, major=MAJOR)
    database.rows("comment on column public.token_events.notes is 'planted | words'")
    with database.connect() as connection:
        page = schema_reference(connection)
    assert page != SCHEMA.read_text("utf-8")
    assert "planted \\| words" in page


def test_nothing_is_without_a_comment(db: Database) -> None:
    assert uncommented(db) == []


def test_what_has_no_comment_is_found(db: Database) -> None:
    for statement in PLANTED:
        db.rows(statement)
    assert len(uncommented(db)) == len(PLANTED)


def uncommented(database: Database) -> list[str]:
    rows = database.rows(UNCOMMENTED, {"schemas": ["public", "ledger"]})
    return [str(name) for (name,) in rows]
