"""Functions that use what only Supabase has are found, also through each other."""

from __future__ import annotations

import pytest

from toolkit.rehearse.triggers import Function, unusable

KNOWN = frozenset({"auth.uid", "auth.users", "extensions.uuid_generate_v4"})


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ("begin perform net.http_post(url := 'x'); return new; end", "net.http_post"),
        ('select "net"."http_post" (1)', "net.http_post"),
        ("insert into storage.objects (name) values ('x')", "storage.objects"),
        ("select s.decrypted_secret from vault.decrypted_secrets s", "vault.decrypted_secrets"),
        ("delete FROM\n  auth.sessions", "auth.sessions"),
        ("select extensions.crypt('a', 'b')", "extensions.crypt"),
    ],
)
def test_a_use_of_something_missing_is_found(body: str, missing: str) -> None:
    assert unusable([Function(1, "f", body)], KNOWN) == {1: missing}


@pytest.mark.parametrize(
    "body",
    [
        "select auth.uid()",
        "insert into auth.users (id) values (extensions.uuid_generate_v4())",
        "total := net.amount + storage.size;",
        "insert into public.log select internet.http_post(1)",
        "insert into planet.cron (a) values (1)",
    ],
)
def test_what_is_here_and_what_only_looks_alike_passes(body: str) -> None:
    assert unusable([Function(1, "f", body)], KNOWN) == {}


def test_a_caller_of_an_unusable_function_is_unusable() -> None:
    functions = [
        Function(1, "outer", "select public.middle(1)"),
        Function(2, "middle", "select inner_(1)"),
        Function(3, "inner_", "select net.http_get('x')"),
        Function(4, "free", "select middle_of_nothing(1)"),
    ]
    assert unusable(functions, KNOWN) == dict.fromkeys((1, 2, 3), "net.http_get")
