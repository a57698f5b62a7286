"""Everything that can be told of an environment before something is done to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from toolkit.environments.database_checks import database_items
from toolkit.environments.items import Grade, Item, failed, passed, warned
from toolkit.environments.mixups import twins
from toolkit.environments.place import described
from toolkit.environments.project_checks import (
    api_items,
    file_items,
    project_items,
    receipt_items,
)
from toolkit.environments.protection import protected
from toolkit.settings import Environment, default_protection

CONNECT_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class EnvironmentCheck:
    """What was found of one environment.

    Attributes:
        environment: its name.
        database: its URL without secrets; empty where there is none that can be read.
        items: each thing that was looked at.
    """

    environment: str
    database: str
    items: tuple[Item, ...]

    @property
    def usable(self) -> bool:
        """Nothing failed."""
        return all(item.grade is not Grade.FAIL for item in self.items)


def check_environment(
    environment: Environment,
    *,
    others: Sequence[Environment] = (),
    ask_api: bool = True,
    connect_timeout: int = CONNECT_TIMEOUT_SECONDS,
) -> EnvironmentCheck:
    """Look at an environment; nothing is changed, and no key is sent anywhere.

    Args:
        environment: the one that is meant.
        others: the other environments of this folder: two names for one database are told.
        ask_api: send the API one request.
        connect_timeout: seconds to wait for the database.
    """
    return EnvironmentCheck(
        environment=environment.name,
        database=described(environment),
        items=tuple(_items(environment, others, ask_api, connect_timeout)),
    )


def _items(
    environment: Environment, others: Sequence[Environment], ask_api: bool, connect_timeout: int
) -> Iterator[Item]:
    yield from file_items(environment)
    yield _protection(environment)
    yield from _twins(environment, others)
    yield from database_items(environment, connect_timeout)
    yield from api_items(environment, ask=ask_api)
    yield from project_items(environment)
    yield from receipt_items(environment)


def _protection(environment: Environment) -> Item:
    name = environment.name
    if default_protection(name) != environment.protection and not protected(environment):
        return warned(
            "protection",
            f"open, though {name} sounds like production",
            f"leave METERLEDGER_PROTECTION out of .env.{name}, or make it confirm",
        )
    return passed("protection", environment.protection)


def _twins(environment: Environment, others: Sequence[Environment]) -> Iterator[Item]:
    names = twins(environment.database_url, environment.name, others)
    if names:
        yield failed(
            "one database, one name",
            f"{' and '.join(names)} names the same database",
            "give each environment its own DATABASE_URL; a variable of the process stands in for "
            "that of every file",
        )
