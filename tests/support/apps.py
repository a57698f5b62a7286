"""A dual-write staging and production before their rollout, with households in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.database import Database
from tests.support.servers import Databases, Template
from toolkit.bootstrap import StartingPoint
from toolkit.demo.generator import generate
from toolkit.demo.loading import load
from toolkit.demo.model import Spec

ZONE = "Asia/Jakarta"


@contextmanager
def two_apps(here: Databases) -> Iterator[dict[str, Database]]:
    """By name; they are dropped with the block."""
    made = {}
    try:
        for name, seed in (("staging", 1), ("production", 2)):
            made[name] = database = here.make(Template(StartingPoint.DUAL_WRITE))
            with database.admin() as connection:
                load(connection, generate(Spec(seed=seed, rows=600, users=20, time_zone=ZONE)))
        yield made
    finally:
        for database in made.values():
            here.drop(database)
