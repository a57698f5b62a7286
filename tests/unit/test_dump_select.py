"""What is done with each kind of entry, and what its failure means."""

from __future__ import annotations

import pytest

from toolkit.errors import OperationalError, UsageError
from toolkit.rehearse.contents import Contents
from toolkit.rehearse.failures import check_version
from toolkit.rehearse.select import Action, Weight, decide, weigh
from toolkit.rehearse.toc import Header


def entry(name: str, kind: str, schema: str = "public", owner: str = "postgres") -> Header:
    return Header(name=name, type=kind, schema=schema, owner=owner)


@pytest.mark.parametrize(
    ("header", "action"),
    [
        (entry("electricity_readings", "TABLE"), Action.RUN),
        (entry("electricity_readings", "TABLE DATA"), Action.ROWS),
        (entry("is_admin()", "FUNCTION", "private"), Action.RUN),
        (entry("schema_migrations", "TABLE DATA", "supabase_migrations"), Action.ROWS),
        (entry("readings", "TABLE DATA", "ledger"), Action.ROWS),
        (entry("private", "SCHEMA", "-"), Action.RUN),
        (entry("public", "SCHEMA", "-"), Action.SKIP),
        (entry("storage", "SCHEMA", "-"), Action.SKIP),
        (entry("SCHEMA public", "ACL", "-"), Action.RUN),
        (entry("SCHEMA storage", "ACL", "-"), Action.SKIP),
        (entry("EXTENSION pgcrypto", "COMMENT", "-"), Action.SKIP),
        (entry("DEFAULT PRIVILEGES FOR TABLES", "DEFAULT ACL", "public"), Action.RUN),
        (entry("DEFAULT PRIVILEGES FOR TABLES", "DEFAULT ACL", "storage"), Action.SKIP),
        (entry("supabase_realtime", "PUBLICATION", "-"), Action.RUN),
        (entry("supabase_realtime token_events", "PUBLICATION TABLE"), Action.RUN),
        (entry("pgrst_ddl_watch", "EVENT TRIGGER", "-", "supabase_admin"), Action.SKIP),
        (entry("mine", "EVENT TRIGGER", "-"), Action.RUN),
        (entry("pgcrypto", "EXTENSION", "-"), Action.EXTENSION),
        (entry("users", "TABLE", "auth"), Action.AUTH_TABLE),
        (entry("users", "TABLE DATA", "auth"), Action.AUTH_ROWS),
        (entry("sessions", "TABLE DATA", "auth"), Action.SKIP),
        (entry("users on_auth_user_created", "TRIGGER", "auth"), Action.RUN),
        (entry("is_member()", "FUNCTION", "auth"), Action.RUN),
        (entry("objects", "TABLE DATA", "storage"), Action.SKIP),
        (entry("objects read", "POLICY", "storage"), Action.SKIP),
        (entry("16403", "BLOB", "-"), Action.SKIP),
        (entry("token_events", "STATISTICS DATA"), Action.SKIP),
        (entry("app", "DATABASE", "-"), Action.SKIP),
        (entry("remote", "SERVER", "-"), Action.OUTSIDE),
        (entry("USER MAPPING postgres SERVER remote", "USER MAPPING", "-"), Action.OUTSIDE),
        (entry("far", "FOREIGN TABLE"), Action.OUTSIDE),
        (entry("copy", "SUBSCRIPTION", "-"), Action.OUTSIDE),
    ],
    ids=lambda value: f"{value.type} {value.label}" if isinstance(value, Header) else value.name,
)
def test_each_entry_has_its_action(header: Header, action: Action) -> None:
    assert decide(header) is action


@pytest.mark.parametrize(
    ("header", "statement", "weight"),
    [
        (entry("electricity_readings", "TABLE"), "", Weight.ESSENTIAL),
        (entry("user_profiles", "TABLE DATA"), "", Weight.ESSENTIAL),
        (entry("token_events token_events_pkey", "CONSTRAINT"), "", Weight.ESSENTIAL),
        (entry("electricity_readings fk", "FK CONSTRAINT"), "", Weight.ESSENTIAL),
        (entry("token_events own rows", "POLICY"), "", Weight.DETACHABLE),
        (entry("token_events notify", "TRIGGER"), "", Weight.OPTIONAL),
        (entry("TABLE token_events", "ACL"), "", Weight.OPTIONAL),
        (
            entry("by_day", "INDEX"),
            "CREATE INDEX by_day ON public.electricity_readings USING btree (date);",
            Weight.DETACHABLE,
        ),
        (
            entry("by_day", "INDEX"),
            'CREATE UNIQUE INDEX "x" ON ONLY "public"."token_events" USING btree (id);',
            Weight.DETACHABLE,
        ),
        (
            entry("by_day", "INDEX"),
            "CREATE INDEX by_day ON public.photos USING btree (a);",
            Weight.OPTIONAL,
        ),
        (entry("photos", "TABLE"), "", Weight.OPTIONAL),
        (entry("electricity_readings", "TABLE", "archive"), "", Weight.OPTIONAL),
        (entry("settings", "TABLE", "ledger"), "", Weight.ESSENTIAL),
        (entry("project()", "FUNCTION", "ledger"), "", Weight.ESSENTIAL),
        (entry("FUNCTION project()", "ACL", "ledger"), "", Weight.OPTIONAL),
        (entry("schema_migrations", "TABLE DATA", "supabase_migrations"), "", Weight.ESSENTIAL),
    ],
)
def test_a_failure_weighs_what_the_rollout_needs(
    header: Header, statement: str, weight: Weight
) -> None:
    assert weigh(header, statement.encode()) is weight


def test_a_dump_of_rows_only_is_refused_at_its_first_rows() -> None:
    with pytest.raises(UsageError, match="--data-only"):
        Contents().note(entry("user_profiles", "TABLE DATA"))


def test_a_dump_without_the_apps_tables_is_refused_at_its_first_rows() -> None:
    contents = Contents()
    contents.note(entry("electricity_readings", "TABLE"))
    with pytest.raises(UsageError, match=r"no table public\.user_profiles$"):
        contents.note(entry("electricity_readings", "TABLE DATA"))


def test_a_dump_from_after_the_cutover_is_named_as_such() -> None:
    contents = Contents()
    contents.note(entry("user_profiles", "TABLE"))
    contents.note(entry("electricity_readings", "VIEW"))
    with pytest.raises(UsageError, match="after the cutover"):
        contents.check()


def test_owners_and_grants_of_public_are_noted() -> None:
    contents = Contents()
    contents.note(entry("electricity_readings", "TABLE", owner="app"))
    contents.note(entry("user_profiles", "TABLE", owner="-"))
    contents.note(entry("objects", "TABLE", "storage", owner="supabase_storage_admin"))
    assert contents.owners == {"app"}
    assert not contents.has_grants
    contents.note(entry("TABLE user_profiles", "ACL"))
    assert contents.has_grants


@pytest.mark.parametrize("version", [None, "15.8", "17.10", "17beta1"])
def test_older_and_same_versions_pass(version: str | None) -> None:
    check_version(version, 17)


@pytest.mark.parametrize("version", ["18.1", "18devel"])
def test_a_newer_server_is_refused_with_its_version(version: str) -> None:
    with pytest.raises(OperationalError, match="PostgreSQL 18") as error:
        check_version(version, 17)
    assert "PostgreSQL 18" in error.value.next_step
