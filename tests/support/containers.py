"""PostgreSQL in a container of testcontainers, for the time of a test process."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import docker.errors
import requests
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.docker_client import DockerClient

from toolkit.errors import OperationalError
from toolkit.local.cluster import ADMIN_ROLE, HOST
from toolkit.local.process import free_port

_PORT = 5432
_SHARED_MEMORY = "256m"  # Docker's own 64 MB are too few for parallel queries


def engine_answers() -> bool:
    """Whether there is a Docker engine to start containers with."""
    try:
        return bool(DockerClient(timeout=10).client.ping())
    except (docker.errors.DockerException, requests.RequestException, OSError):
        return False


@contextmanager
def postgres_container(image: str) -> Iterator[str]:
    """A started server of an image; the URL of its superuser supabase_admin.

    The image is the official one, or one that takes the same variables. An engine without a
    network of its own lets the container use the host's.

    Raises:
        OperationalError: the image cannot be had, or its server does not start.
    """
    bridged = bool(DockerClient().client.networks.list(names=["bridge"]))
    port = _PORT if bridged else free_port() or _PORT
    container = PostgresContainer(
        image, port, ADMIN_ROLE, secrets.token_hex(16), "postgres", driver=None
    ).with_env("PGPORT", str(port))
    if bridged:
        container.with_kwargs(shm_size=_SHARED_MEMORY)
    else:
        container.ports.clear()  # nothing to map
        container.with_kwargs(shm_size=_SHARED_MEMORY, network_mode="host")
    try:
        started = container.start()
    except (docker.errors.DockerException, TimeoutError) as error:
        container.stop()
        raise OperationalError(
            f"no PostgreSQL could be started from the image {image}: {error}",
            next_step="look at the image's name, and at its log with docker logs",
        ) from error
    try:
        host = started.get_container_host_ip() if bridged else HOST
        mapped = started.get_exposed_port(port) if bridged else port
        login = f"{ADMIN_ROLE}:{container.password}"
        yield f"postgresql://{login}@{host}:{mapped}/postgres?sslmode=disable"
    finally:
        started.stop()
