"""Where the tests' PostgreSQL comes from: a given URL, a container, or the embedded programs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from functools import cache

from toolkit import settings
from toolkit.connection import connect, describe
from toolkit.errors import UsageError
from toolkit.local.cluster import ADMIN_ROLE

DEFAULT_MAJOR = 17
URL = "METERLEDGER_TEST_DATABASE_URL"
IMAGE = "METERLEDGER_TEST_IMAGE"
MAJOR = "METERLEDGER_TEST_PG"


class Kind(Enum):
    """In the order in which they are taken."""

    GIVEN = "a given server"
    CONTAINER = "a container"
    EMBEDDED = "the embedded programs"


@dataclass(frozen=True)
class Source:
    """What the variables ask for.

    Attributes:
        kind: of the three.
        major: the version of tests that name none. A test that names another gets an embedded
            server of that version, whatever the source is.
        where: the URL or the image; nothing for the embedded programs.
    """

    kind: Kind
    major: int
    where: str = field(default="", repr=False)

    def __str__(self) -> str:
        """A line for the head of a run; no password in it."""
        named = describe(self.where) if self.kind is Kind.GIVEN else self.where
        others = "" if self.kind is Kind.EMBEDDED else "; other versions are embedded"
        return f"PostgreSQL {self.major} from {self.kind.value} {named}".rstrip() + others


@cache
def source() -> Source:
    """The source of this run; the environment is read once."""
    return chosen()


def chosen() -> Source:
    """What the environment asks for.

    Raises:
        UsageError: two variables contradict each other, one says too little, or the URL is not
            of the superuser supabase_admin.
        OperationalError: the given server does not answer.
    """
    major = settings.variable(MAJOR) or "0"
    if not major.isdecimal():
        raise UsageError(f"{MAJOR} is {major!r}, no version", next_step="say 17 or 15")
    asked = int(major)
    if url := settings.variable(URL):
        return Source(Kind.GIVEN, _agreed(_major_of_server(url), asked, URL), url)
    if image := settings.variable(IMAGE):
        return Source(Kind.CONTAINER, _agreed(_major_of_tag(image), asked, IMAGE), image)
    return Source(Kind.EMBEDDED, asked or DEFAULT_MAJOR)


def _agreed(found: int, asked: int, variable: str) -> int:
    if found and asked and found != asked:
        raise UsageError(
            f"{MAJOR} is {asked}, and {variable} means PostgreSQL {found}",
            next_step=f"leave {MAJOR} out",
        )
    if not found and not asked:
        raise UsageError(
            f"the tag in {IMAGE} does not begin with a version of PostgreSQL",
            next_step=f"name a tag such as postgres:17, or say the version in {MAJOR}",
        )
    return found or asked


def _major_of_tag(image: str) -> int:
    """17 of postgres:17-alpine; 0 where the tag says none."""
    tag = re.search(r":(\d+)[^/]*$", image)
    return int(tag.group(1)) if tag else 0


def _major_of_server(url: str) -> int:
    with connect(url) as connection:
        who = connection.execute(
            "select current_user, rolsuper from pg_catalog.pg_roles where rolname = current_user"
        ).fetchone()
        if who != (ADMIN_ROLE, True):
            raise UsageError(
                f"{URL} is not of the superuser {ADMIN_ROLE}",
                next_step=f"name a server that is thrown away, made with initdb -U {ADMIN_ROLE} "
                f"or, in a container, POSTGRES_USER={ADMIN_ROLE}",
            )
        return connection.info.server_version // 10_000
