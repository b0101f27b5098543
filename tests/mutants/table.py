"""Which modules are changed, and which quick tests have to notice."""

from __future__ import annotations

from .trial import ROOT

#: The names of the files of tests, without the `test_`.
TABLE = {
    "flow": "connect reconnect refusals views",
    "callback": "connect reconnect refusals",
    "id_token": "id_token refusals tokens",
    "transport": "transport entra refusals",
    "tokens": "tokens credential reconnect upkeep",
    "freshness": "tokens reconnect",
    "refreshing": "tokens reconnect upkeep",
    "outcomes": "tokens reconnect upkeep",
    "refusals": "tokens refusals watch",
    "pauses": "tokens rotation upkeep",
    "health": "tokens upkeep watch",
    "entra": "entra connect tokens refusals",
    "credential": "credential",
    "applications": "applications expiring",
    "delivery": "destinations rotation wishes",
    "rotation": "rotation wishes destinations",
    "rotation_steps": "rotation wishes destinations",
    "models.leases": "tokens rotation wishes",
    "models.tokens": "tokens upkeep fields",
    "models.authorizations": "connect reconnect refusals views",
    "models.connections": "tokens views reconnect watch",
    "models.rotations": "rotation rotation_pages wishes",
}
#: How many mutants of a module a run tries, unless it tries them all.
SAMPLE = 28


def files_of(module: str) -> tuple[str, ...]:
    """Return the paths of a module's tests, for those of the table that exist."""
    paths = [f"tests/test_{name}.py" for name in TABLE[module].split()]
    return tuple(path for path in paths if (ROOT / path).exists())
