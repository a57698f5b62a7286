"""Which PostgreSQL the tests take: a given one, then a container's, then the embedded one."""

from __future__ import annotations

import pytest

from tests.support import source
from tests.support.source import IMAGE, MAJOR, URL, Kind, Source, chosen
from toolkit.errors import UsageError

GIVEN = "postgresql://supabase_admin:hush@db.test/postgres"


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (URL, IMAGE, MAJOR):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(source, "_major_of_server", lambda _: 15)


def test_the_embedded_programs_where_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen() == Source(Kind.EMBEDDED, 17)

    monkeypatch.setenv(MAJOR, "15")
    assert chosen() == Source(Kind.EMBEDDED, 15)


def test_a_given_server_comes_before_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(IMAGE, "postgres:17")
    assert chosen() == Source(Kind.CONTAINER, 17, "postgres:17")

    monkeypatch.setenv(URL, GIVEN)
    assert chosen() == Source(Kind.GIVEN, 15, GIVEN)


@pytest.mark.parametrize(
    ("image", "major"),
    [
        ("postgres:17", 17),
        ("postgres:15-alpine", 15),
        ("supabase/postgres:15.8.1.060", 15),
        ("mirror.test:5000/postgres:17.2", 17),
    ],
)
def test_the_tag_says_the_version(monkeypatch: pytest.MonkeyPatch, image: str, major: int) -> None:
    monkeypatch.setenv(IMAGE, image)

    assert chosen().major == major


@pytest.mark.parametrize("image", ["postgres", "postgres:latest", "mirror.test:5000/postgres"])
def test_a_tag_without_a_version_wants_it_said(monkeypatch: pytest.MonkeyPatch, image: str) -> None:
    monkeypatch.setenv(IMAGE, image)
    with pytest.raises(UsageError, match="does not begin with a version"):
        chosen()

    monkeypatch.setenv(MAJOR, "15")
    assert chosen().major == 15


@pytest.mark.parametrize(("name", "value"), [(IMAGE, "postgres:15"), (URL, GIVEN)])
def test_a_contradiction_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(MAJOR, "17")
    monkeypatch.setenv(name, value)

    with pytest.raises(UsageError, match=f"{MAJOR} is 17, and {name} means PostgreSQL 15"):
        chosen()


def test_the_head_of_a_run_tells_no_password() -> None:
    line = str(Source(Kind.GIVEN, 15, GIVEN))

    assert "a given server supabase_admin@db.test:5432/postgres" in line
    assert "hush" not in line + repr(Source(Kind.GIVEN, 15, GIVEN))
    assert str(Source(Kind.EMBEDDED, 17)) == "PostgreSQL 17 from the embedded programs"
