"""What the API says of itself: relations, their columns, functions and their arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from toolkit.errors import OperationalError
from toolkit.isolation.api.wire import Caller, Wire

_RPC = "/rpc/"


@dataclass(frozen=True)
class ApiSchema:
    """The API's description of the schema public.

    Attributes:
        version: of PostgREST.
        columns: relation → column → its type, as PostgreSQL writes it.
        functions: function → argument → its type.
    """

    version: str = "unknown"
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    functions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def of(self, relation: str) -> Mapping[str, str]:
        """The columns of a relation; none where the API does not show it."""
        return self.columns.get(relation.partition(".")[2], {})


def read_schema(wire: Wire, caller: Caller) -> ApiSchema | None:
    """Ask for the description; None where the server keeps it to itself.

    Raises:
        OperationalError: nothing answers.
    """
    headers = {**caller.rest.headers, "Accept": "application/openapi+json"}
    try:
        answer = wire.session.get(f"{wire.target.base}/rest/v1/", headers=headers)
    except httpx.HTTPError as failure:
        raise wire.unreachable(failure) from None
    if answer.status_code != 200:
        return None
    try:
        content = answer.json()
        return ApiSchema(
            version=str(content["info"]["version"]),
            columns={name: _formats(table) for name, table in content["definitions"].items()},
            functions={
                path.removeprefix(_RPC): _arguments(operations)
                for path, operations in content["paths"].items()
                if path.startswith(_RPC)
            },
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        raise OperationalError(
            f"{wire.target.base} answers, and not as Supabase's REST API",
            next_step="check the URL: it is the project's, without a path",
        ) from None


def _formats(described: Mapping[str, Any]) -> dict[str, str]:
    properties = described.get("properties", {})
    return {name: str(column.get("format", "")) for name, column in properties.items()}


def _arguments(operations: Mapping[str, Any]) -> dict[str, str]:
    for parameter in operations["post"]["parameters"]:
        if parameter.get("name") == "args":
            return _formats(parameter["schema"])
    return {}
