"""Which modules are changed, and which quick tests have to notice."""

from __future__ import annotations

from .trial import ROOT

#: The files of tests, without `test_`, beside the one that is named like the module.
TABLE = {
    "flow": "connect reconnect refusals limits history_acts",
    "callback": "connect reconnect refusals history_acts",
    "id_token": "refreshed_identity",
    "transport": "entra",
    "tokens": "credential refreshing",
    "freshness": "tokens throttling refreshing flow",
    "refreshing": "tokens reconnect",
    "outcomes": "tokens throttling refreshing",
    "turns": "tokens",
    "refusals": "tokens refused_apis kept_refusals",
    "pauses": "throttling",
    "health": "tokens refused_apis",
    "entra": "connect refused_apis",
    "credential": "",
    "applications": "issuing history_acts",
    "history": "history_acts",
    "delivery": "destinations checks",
    "rotation": "wishes destinations rotation_steps history_acts",
    "rotation_steps": "rotation wishes destinations delivery history_acts",
    "models.history": "history_acts watch",
    "models.leases": "rotation_steps outcomes refreshing",
    "models.tokens": "refresh_tokens given_away reconnect throttling",
    "models.authorizations": "refusals",
    "models.connections": "reconnect credential",
    "models.feeds": "expiring",
    "models.issued_secrets": "issuing",
    "models.watched_secrets": "expiring watch",
    "models.explained": "refusals",
    "models.sealed": "refresh_tokens issued_secrets",
    "models.rotations": "rotation rotation_steps destinations",
}
#: How many mutants of a module a run tries, unless it tries them all.
SAMPLE = 18


def files_of(module: str) -> tuple[str, ...]:
    """Return the paths of a module's tests: those named like it, and those of the table."""
    names = [module.rpartition(".")[2], *TABLE[module].split()]
    paths = [f"tests/test_{name}.py" for name in names]
    return tuple(path for path in paths if (ROOT / path).exists())
