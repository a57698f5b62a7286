"""What the catalog must say: no grant beyond what the contract needs, and RLS behind each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.database import Database
from tests.support.editions import EDITIONS, database_of, edition_name
from tests.support.servers import Databases

API_ROLES = ("anon", "authenticated", "service_role")
EVERYBODY_OUTSIDE = ("PUBLIC", *API_ROLES)
TABLES_OF_THE_APP = {"public.user_profiles", "public.electricity_readings"}
# A trigger function cannot be called, whoever may execute it: the rollout leaves the app's alone.
FUNCTIONS_OF_THE_APP = {"handle_new_user()"}
INSERTABLE = {
    *("id", "user_id", "event_type", "event_date", "kwh_amount", "token_cost", "notes"),
    *("meter_photo_url", "void_of_event", "recalc_batch_id", "created_by", "metadata"),
    *("created_at", "observed_kwh", "idempotency_key"),
}
UPDATABLE = {"is_voided", "voided_at", "voided_by", "voided_reason", "recalc_batch_id"}
OURS = (
    *("public.token_events", "public.recalculation_batches"),
    *("ledger.readings", "ledger.event_calls"),
)
CALLS = {
    "record_event(text,numeric,timestamp with time zone,numeric,text,text,numeric,jsonb,text)",
    "void_event(uuid,text,text)",
    "replace_event(uuid,jsonb,text,text)",
    "preview_backdate(text,numeric,timestamp with time zone,numeric)",
    "recalculate(uuid,text)",
    "rollback_recalculation(uuid,text,text)",
}
HARMFUL = {"TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"}
Grant = tuple[str, str, str]


@pytest.fixture(scope="module", params=EDITIONS, ids=edition_name)
def catalog(
    databases: Callable[[int], Databases], request: pytest.FixtureRequest
) -> Iterator[Database]:
    yield from database_of(databases, request.param)


def grants(database: Database) -> set[Grant]:
    """(relation, grantee outside, privilege) on whole relations of public and ledger."""
    return {
        (relation, grantee, privilege)
        for relation, grantee, privilege in database.rows(
            "select format('%%s.%%s', relnamespace::regnamespace, relname),"
            " case when grantee = 0 then 'PUBLIC' else grantee::regrole::text end, privilege_type"
            " from pg_class, aclexplode(coalesce(relacl, acldefault("
            " case when relkind = 'S' then 's'::\"char\" else 'r'::\"char\" end, relowner)))"
            " where relnamespace in ('public'::regnamespace, 'ledger'::regnamespace)"
            " and relkind in ('r', 'p', 'v', 'm', 'S')",
            (),
        )
        if grantee in EVERYBODY_OUTSIDE
    }


def granted_columns(database: Database, role: str, privilege: str) -> set[str]:
    """Columns of token_events on which a role holds a privilege, in whatever way."""
    return {
        column
        for (column,) in database.rows(
            "select attname::text from pg_attribute"
            " where attrelid = 'public.token_events'::regclass and attnum > 0"
            " and not attisdropped and has_column_privilege(%s, attrelid, attnum, %s)",
            (role, privilege),
        )
    }


def test_no_outsider_holds_anything_on_the_materialized_view(catalog: Database) -> None:
    held = grants(catalog)

    assert not [grant for grant in held if grant[0] == "public.electricity_readings_mv"]
    assert ("public.electricity_readings_v", "authenticated", "SELECT") in held


def test_outsiders_hold_in_ledger_the_projection_to_read_and_their_calls_to_note(
    catalog: Database,
) -> None:
    held = {grant for grant in grants(catalog) if grant[0].startswith("ledger.")}

    assert held == {
        ("ledger.event_calls", "authenticated", "INSERT"),
        ("ledger.event_calls", "authenticated", "SELECT"),
        ("ledger.readings", "authenticated", "SELECT"),
        ("ledger.readings", "service_role", "SELECT"),
    }


def test_outsiders_may_use_the_schemas_and_create_nothing_in_them(catalog: Database) -> None:
    for schema in ("public", "ledger"):
        for role in ("authenticated", "service_role"):
            usage = "select has_schema_privilege(%s, %s, 'usage')"
            assert catalog.value(usage, (role, schema))
        for role in API_ROLES:
            create = "select has_schema_privilege(%s, %s, 'create')"
            assert not catalog.value(create, (role, schema))


def test_outsiders_hold_no_sequence(catalog: Database) -> None:
    names = "select format('%%s.%%s', relnamespace::regnamespace, relname)"
    sequences = catalog.rows(f"{names} from pg_class where relkind = 'S'", ())

    assert not {name for (name,) in sequences} & {relation for relation, _, _ in grants(catalog)}


def test_nobody_anonymous_holds_anything_that_the_rollout_made(catalog: Database) -> None:
    made = {*OURS, "public.electricity_readings_v", "public.electricity_readings_mv"}

    assert not [
        grant for grant in grants(catalog) if grant[0] in made and grant[1] in ("anon", "PUBLIC")
    ]


def test_no_outsider_holds_what_row_level_security_does_not_guard(catalog: Database) -> None:
    held = {grant for grant in grants(catalog) if grant[0] not in TABLES_OF_THE_APP}

    assert not [grant for grant in held if grant[2] in HARMFUL]
    assert {grant for grant in held if grant[2] == "SELECT"}


def test_nor_on_the_apps_tables_whose_rows_become_events_or_own_them(catalog: Database) -> None:
    """With TRIGGER, a client runs code in other people's writes; TRUNCATE asks no policy."""
    held = {grant for grant in grants(catalog) if grant[0] in TABLES_OF_THE_APP}

    assert {(table, privilege) for table, _, privilege in held if privilege in HARMFUL} == set()
    assert {table for table, _, privilege in held if privilege == "SELECT"} == TABLES_OF_THE_APP


def test_events_and_readings_are_granted_no_more_than_is_needed(catalog: Database) -> None:
    held = {
        grant
        for grant in grants(catalog)
        if grant[0] in ("public.token_events", "public.electricity_readings_v")
    }

    assert {privilege for _, _, privilege in held} == {"SELECT"}
    for role in ("authenticated", "service_role"):
        assert granted_columns(catalog, role, "INSERT") == INSERTABLE
        assert granted_columns(catalog, role, "UPDATE") == UPDATABLE
    for privilege in ("SELECT", "INSERT", "UPDATE", "REFERENCES"):
        assert granted_columns(catalog, "anon", privilege) == set()


def test_recalculations_are_read_recorded_and_changed_never_deleted(catalog: Database) -> None:
    held = {
        (grantee, privilege)
        for relation, grantee, privilege in grants(catalog)
        if relation == "public.recalculation_batches"
    }

    assert held == {
        (role, privilege)
        for role in ("authenticated", "service_role")
        for privilege in ("SELECT", "INSERT", "UPDATE")
    }


def functions(database: Database, condition: str) -> set[str]:
    query = (
        "select pg_proc.oid::regprocedure::text from pg_proc where pronamespace in"
        " ('public'::regnamespace, 'ledger'::regnamespace) and not exists (select from pg_depend"
        " where classid = 'pg_proc'::regclass and objid = pg_proc.oid and deptype = 'e') and "
    )
    return {name for (name,) in database.rows(query + condition)} - FUNCTIONS_OF_THE_APP


def test_no_function_can_be_called_by_everybody_or_anonymously(catalog: Database) -> None:
    everybody = (
        "exists (select from aclexplode(coalesce(proacl, acldefault('f', proowner)))"
        " where grantee = 0)"
    )

    assert functions(catalog, everybody) == set()
    assert functions(catalog, "has_function_privilege('anon', pg_proc.oid, 'execute')") == set()
    assert functions(catalog, "true")


def test_outsiders_call_the_functions_of_the_contract(catalog: Database) -> None:
    positions, refresh = "calculate_user_positions(uuid)", "refresh_readings_mv()"
    allowed = "has_function_privilege('{}', pg_proc.oid, 'execute')"
    users = functions(catalog, allowed.format("authenticated"))
    service = functions(catalog, allowed.format("service_role"))

    assert {name for name in users if not name.startswith("ledger.")} == {positions, *CALLS}
    assert {name for name in service if not name.startswith("ledger.")} == {
        *(positions, refresh, "refresh_readings(text,integer,boolean)"),
        *("audit_readings(text,integer)", "prune_ledger(integer)", "ledger_health(integer)"),
    }


def test_what_outsiders_may_call_in_ledger_gives_them_no_right_of_its_owner(
    catalog: Database,
) -> None:
    """What the calls of the contract share; through the API nobody reaches it."""
    may = " or ".join(f"has_function_privilege('{r}', pg_proc.oid, 'execute')" for r in API_ROLES)
    private = f"({may}) and pronamespace = 'ledger'::regnamespace"

    assert functions(catalog, private)
    assert functions(catalog, f"{private} and prosecdef") == set()


def test_functions_with_the_owners_rights_fix_their_search_path(catalog: Database) -> None:
    fixed = "exists (select from unnest(proconfig) as setting where setting = 'search_path=\"\"')"

    assert functions(catalog, f"prosecdef and not coalesce({fixed}, false)") == set()
    assert functions(catalog, "prosecdef")
    assert "calculate_user_positions(uuid)" in functions(catalog, "not prosecdef")


def test_row_level_security_is_on_wherever_an_outsider_may_look(catalog: Database) -> None:
    guarded = {
        name
        for (name,) in catalog.rows(
            "select format('%%s.%%s', relnamespace::regnamespace, relname) from pg_class"
            " where relrowsecurity and relkind = 'r'",
            (),
        )
    }
    looked_at = {relation for relation, _, _ in grants(catalog)}

    assert looked_at - guarded == {"public.electricity_readings_v"}
    assert set(OURS) <= guarded


def test_each_operation_has_one_policy_for_signed_in_users_alone(catalog: Database) -> None:
    policies = catalog.rows(
        "select format('%%s.%%s', schemaname, tablename), cmd, roles::text[], qual, with_check"
        " from pg_policies where format('%%s.%%s', schemaname, tablename) = any (%s)",
        (list(OURS),),
    )

    assert sorted((table, command) for table, command, *_ in policies) == sorted(
        [("ledger.readings", "SELECT")]
        + [("ledger.event_calls", command) for command in ("SELECT", "INSERT")]
        + [(table, command) for table in OURS[:2] for command in ("SELECT", "INSERT", "UPDATE")]
    )
    for table, command, roles, using, check in policies:
        assert roles == ["authenticated"], (table, command)
        for condition in (using, check):
            # Asked once a statement, not once a row.
            assert condition is None or "( SELECT auth.uid()" in condition, (table, command)
        assert command == "SELECT" or check is not None, (table, command)


def test_the_view_reads_with_the_rights_of_who_asks(catalog: Database) -> None:
    options = catalog.value(
        "select reloptions from pg_class where oid = 'public.electricity_readings_v'::regclass"
    )

    assert "security_invoker=true" in options


def test_one_owner_that_row_level_security_does_not_bind_owns_everything(
    catalog: Database,
) -> None:
    owners = catalog.rows(
        "select distinct rolname::text, rolbypassrls from pg_roles join ("
        "   select relowner as owner from pg_class where relnamespace = 'ledger'::regnamespace"
        "     or oid in ('public.token_events'::regclass, 'public.recalculation_batches'::regclass,"
        "       'public.electricity_readings_v'::regclass,"
        "       'public.electricity_readings_mv'::regclass)"
        "   union all select proowner from pg_proc where pronamespace in"
        "     ('public'::regnamespace, 'ledger'::regnamespace)"
        " ) as owned on owner = pg_roles.oid"
    )

    assert owners == [("postgres", True)]


def test_no_argument_has_a_row_of_a_table_as_its_default(catalog: Database) -> None:
    """From 17.12 on, PostgreSQL refuses whatever rewrites such a table."""
    assert (
        catalog.rows(
            "select p.oid::regprocedure::text from pg_catalog.pg_proc as p"
            " cross join unnest(p.proargtypes::oid[]) with ordinality as argument (type, place)"
            " inner join pg_catalog.pg_type as t on t.oid = argument.type"
            " where p.pronamespace in ('public'::regnamespace, 'ledger'::regnamespace)"
            " and t.typtype = 'c' and argument.place > p.pronargs - p.pronargdefaults"
        )
        == []
    )
