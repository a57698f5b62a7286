"""A database that an environment's own file does not mean: told before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from toolkit.environments.place import described, place_of
from toolkit.errors import UsageError
from toolkit.settings import LOCAL, Environment

VARIABLE = "DATABASE_URL"


@dataclass(frozen=True)
class Mixup:
    """One reason to believe that another database would be reached than the one meant.

    Attributes:
        text: what is so, one sentence without secrets.
        next_step: how to say which one is meant.
    """

    text: str
    next_step: str


def mixups(
    environment: Environment,
    url: str,
    *,
    own: Environment | None = None,
    others: Sequence[Environment] = (),
) -> tuple[Mixup, ...]:
    """What speaks against a URL being the environment's database; nothing is connected to.

    The process's environment alone is CI's ordinary way, and so is one that repeats the file.
    A URL that was typed is meant. What goes by no name (local) is nobody else's by mistake.

    Args:
        environment: the one that was named, with the process's environment on top of its file.
        url: that the command would use.
        own: what its file alone says; None where it cannot be read or is not there.
        others: what the files of the other environments say.
    """
    if environment.name == LOCAL:
        return ()
    typed = url != environment.database_url
    return (*(() if typed else _overridden(environment, own)), *_twins(environment, url, others))


def require_meant(found: Sequence[Mixup]) -> None:
    """Stop a command that would change another database than the one meant.

    Raises:
        UsageError: there is a mix-up.
    """
    if found:
        raise UsageError(
            f"nothing was done: {found[0].text}",
            next_step=found[0].next_step,
            details=tuple(f"{one.text} (next: {one.next_step})" for one in found[1:]),
        )


def twins(url: str | None, name: str, others: Sequence[Environment]) -> tuple[str, ...]:
    """The other environments whose files name the same database."""
    place = place_of(url)
    if place is None:
        return ()
    return tuple(o.name for o in others if o.name != name and place_of(o.database_url) == place)


def _overridden(environment: Environment, own: Environment | None) -> Iterator[Mixup]:
    if VARIABLE not in environment.overridden or own is None or own.database_url is None:
        return
    if place_of(own.database_url) == place_of(environment.database_url):
        return  # another password or another way to the same database
    file = f".env.{environment.name}"
    yield Mixup(
        f"{VARIABLE} of the process's environment is {described(environment) or 'unreadable'}, and "
        f"{file} says {described(own) or 'something that cannot be read'}",
        f"unset {VARIABLE} where you mean the file; where you mean the process's, take it out of "
        f"{file}",
    )


def _twins(environment: Environment, url: str, others: Sequence[Environment]) -> Iterator[Mixup]:
    names = twins(url, environment.name, others)
    if names:
        files = " and ".join(f".env.{name}" for name in names)
        yield Mixup(
            f"{VARIABLE} of {environment.name} and of {files} is one database",
            f"give each environment its own {VARIABLE}, or say {names[0]} if you mean that one",
        )
