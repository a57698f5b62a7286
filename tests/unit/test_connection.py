"""URLs are parsed with clear errors, and secrets are hidden."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.connection import connect, describe, parse, redact
from toolkit.errors import OperationalError, UsageError

SECRETS = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=("Z", "C")),
    min_size=6,
    max_size=30,
).filter(lambda secret: secret not in "postgresql://someone:***@host.example:5432/books")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:hu@sh/ed@host.example/books",
        "postgresql://someone:hu@shed@host.example/books",
        "postgresql://someone:12/hushed@host.example/books",
        "postgresql://someone:hush%zzed@host.example/books",
        "postgresql://someone:hushed@host.example:hushed/books",
        "postgresql://someone:hushed@host.example:99999/books",
        "postgresql://someone:hushed@host.example:0/books",
        "hushed",
        "host=host.example password='hushed",
        "postgresql://someone:hushed@[::1/books",
    ],
)
def test_a_url_that_cannot_be_used_is_a_usage_error_that_quotes_nothing(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(url)

    shown = refused.value.message + refused.value.next_step + repr(refused.value.__cause__)
    for piece in ("hu@sh", "shed", "hush"):
        assert piece not in shown
    assert "percent-encode" in refused.value.next_step


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:hushed@[::1]:5432/books",
        "postgresql://someone:hushed@one.example:5432,two.example:5433/books",
        "postgresql://someone:hu%40sh%2Fed@host.example/books?sslmode=require",
        "postgresql:///books?host=/run/postgresql",
        "host=127.0.0.1 port=5432 user=someone password=hushed dbname=books",
    ],
)
def test_every_shape_that_libpq_takes_is_taken(url: str) -> None:
    assert parse(url)["dbname"] == "books"
    assert "hu" not in describe(url).replace("host", "")


def test_a_url_is_described_without_its_password() -> None:
    url = "postgresql://someone:hushed@host.example:6543/books"

    assert describe(url) == "someone@host.example:6543/books"


@given(SECRETS)
def test_no_password_in_a_url_survives(secret: str) -> None:
    for written in (secret, quote(secret, safe="")):
        text = f"tried postgresql://someone:{written}@host.example:5432/books and failed"
        assert written not in redact(text)
        assert redact(text).startswith("tried postgresql://someone:***@")


@given(SECRETS)
def test_no_password_in_a_key_value_string_survives(secret: str) -> None:
    quoted = secret.replace("\\", "\\\\").replace("'", "\\'")
    shown = redact(f"host=host.example password='{quoted}' dbname=books")

    assert quoted not in shown
    assert shown == "host=host.example password=*** dbname=books"


@pytest.mark.parametrize(
    "text",
    [
        "PGPASSWORD=hushed",
        'SUPABASE_SERVICE_ROLE_KEY="hushed"',
        "SUPABASE_SERVICE_ROLE_KEY=hushed",
        '{"password": "hushed", "user": "someone"}',
        "https://host.example/?apikey=hushed&x=1",
        "postgresql://host.example/books?user=u&password=hushed",
        "Authorization: Bearer eyJhbGciOi.hushed.hushed",
        "sb_secret_hushed",
        "SUPABASE_ACCESS_TOKEN=hushed",
    ],
)
def test_other_secrets_are_hidden(text: str) -> None:
    assert "hushed" not in redact(text)
    assert "***" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "Key (user_id, id)=(1, 2) already exists.",
        "token_amount: 5, token_cost = 7",
        "duplicate key value violates unique constraint token_events_tenant_pkey: 1",
        "postgresql://host.example:5432/books",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_a_host_that_is_not_known_is_one_clear_error() -> None:
    with pytest.raises(OperationalError, match=r"host of someone@nowhere\.invalid") as refused:
        connect("postgresql://someone:hushed@nowhere.invalid/books")

    assert "hushed" not in refused.value.message
    assert refused.value.__cause__ is None
