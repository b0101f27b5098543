"""Who may import whom: the table is the diagram."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "infisical_azure"

#: Each module with all that it may import of the package, lowest first.
MAY_IMPORT = {
    "text": "",
    "clouds": "",
    "exceptions": "",
    "signals": "",
    "logs": "",
    "turns": "",
    "pauses": "exceptions",
    "permissions": "",
    "resources": "clouds",
    "deadlines": "",
    "anew": "exceptions",
    "secret": "anew",
    "conf": "anew clouds secret",
    "fields": "anew conf exceptions secret",
    "host": "conf permissions",
    "transport": "anew conf deadlines exceptions secret",
    "workers": "transport",
    "entra": "anew clouds exceptions logs secret text transport",
    "id_token": "anew clouds entra exceptions secret text transport",
    "operator_client": "conf entra",
    "models.explained": "exceptions",
    "models.leases": "",
    "models.feeds": "conf secret",
    "problems": "anew exceptions secret text",
    "paging": "",
    "connection_options": "",
    "expiry": "",
    "non_atomic": "",
    "management.unattended": "",
    "management.commands": "",
    "management": "",
    "templatetags.infisical_azure": "host permissions text",
    "templatetags": "",
    "": "",
    "models.history": "",
    "models.sealed": "fields",
    "claims": "",
    "graph": "anew claims clouds exceptions secret text transport",
    "data_planes": "anew claims exceptions secret transport",
    "models.connections": "claims clouds conf exceptions models.explained permissions",
    "models.authorizations": "clouds conf exceptions fields models.connections models.explained",
    "models.tokens": "fields models.connections models.leases models.sealed",
    "models.rotations": (
        "clouds conf fields models.connections models.explained models.leases models.sealed"
    ),
    "models.watched_secrets": "models.connections models.rotations",
    "timeline": "expiry models.watched_secrets",
    "models.issued_secrets": "conf fields models.connections models.sealed models.watched_secrets",
    "models": (
        "models.authorizations models.connections models.feeds models.history "
        "models.issued_secrets models.rotations models.tokens models.watched_secrets"
    ),
    "health": "exceptions models problems secret",
    "apart": "models",
    "expiry_warnings": "conf models signals",
    "ical": "models",
    "own_secret": "conf expiry graph models text",
    "spreadsheet": "expiry models",
    "obstacles": "exceptions health models problems",
    "notices": "conf expiry health host models obstacles",
    "refusals": "exceptions health models models.connections pauses",
    "freshness": "conf models secret",
    "history": "conf exceptions models text",
    "news": "history models signals",
    "management.commands.infisical_azure_purge": "conf history",
    "activity": "models paging",
    "calendar_links": "conf history models",
    "keeping": "models",
    "outcomes": (
        "apart entra exceptions freshness health history keeping models pauses refusals signals"
    ),
    "refreshing": (
        "apart conf entra exceptions freshness health id_token keeping models "
        "operator_client outcomes refusals turns"
    ),
    "tokens": "conf exceptions freshness models refreshing resources secret",
    "on_behalf": "exceptions graph models resources secret tokens",
    "watch": "conf exceptions expiry_warnings graph history models on_behalf pauses transport",
    "applications": "exceptions graph history models on_behalf pauses",
    "delivery": (
        "anew clouds conf data_planes exceptions models models.rotations on_behalf resources secret"
    ),
    "rotation_steps": (
        "applications conf delivery entra exceptions graph history models on_behalf pauses "
        "secret signals"
    ),
    "rotation": "data_planes exceptions history models pauses rotation_steps signals",
    "rotation_upkeep": "conf models rotation workers",
    "probe": "conf exceptions health models on_behalf problems refusals resources tokens",
    "checks": "anew clouds conf delivery host models own_secret text",
    "credential": "anew conf exceptions models signals tokens",
    "upkeep": "conf exceptions models models.tokens tokens workers",
    "tasks": "history rotation_upkeep upkeep watch",
    "management.commands.infisical_azure_refresh": "management.unattended upkeep",
    "management.commands.infisical_azure_rotate": "management.unattended rotation_upkeep",
    "management.commands.infisical_azure_watch": "management.unattended watch",
    "removal": "calendar_links exceptions models obstacles rotation",
    "admin": "health history models obstacles own_secret removal",
    "limits": "conf exceptions models",
    "flow": (
        "anew clouds conf entra exceptions freshness graph history id_token limits models "
        "operator_client secret signals"
    ),
    "forms": "clouds conf entra exceptions flow health limits models text",
    "rotation_forms": "conf forms models",
    "callback": "anew conf exceptions flow history host models non_atomic permissions problems",
    "issuing": "applications conf exceptions graph history limits models",
    "downloads": "anew",
    "reports": "anew secret",
    "apps": "calendar_links checks logs news notices reports signals",
    "secret_pages": "anew secret",
    "views": (
        "activity conf connection_options flow forms health history host models non_atomic "
        "own_secret paging permissions probe problems refusals removal resources "
        "secret_pages text"
    ),
    "application_views": (
        "activity applications exceptions expiry forms graph history issuing limits models "
        "non_atomic obstacles own_secret problems secret_pages text views"
    ),
    "rotation_views": (
        "activity application_views forms history limits models obstacles rotation rotation_forms"
    ),
    "expiring_views": "downloads expiry models paging spreadsheet timeline views",
    "feed_views": (
        "anew calendar_links conf downloads history host ical logs models non_atomic "
        "permissions secret secret_pages timeline views"
    ),
    "urls": "application_views callback expiring_views feed_views rotation_views secret views",
}


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] != "migrations":
            found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imports(path: Path, module: str) -> set[str]:
    """Return the modules of the package that a file imports when it runs."""
    tree = ast.parse(path.read_text())
    hidden = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for child in ast.walk(node)
    }
    folder = path.relative_to(PACKAGE).parent.parts
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node not in hidden:
            if node.level:
                start = folder[: len(folder) - node.level + 1]
            elif (node.module or "").split(".")[0] == "infisical_azure":
                start = ()
            else:
                assert (node.module or "").split(".")[0] not in {"example_project", "tests"}
                continue
            name = (node.module or "").removeprefix("infisical_azure").strip(".")
            base = ".".join([*start, *([name] if name else [])])
            found |= {base} if name else {".".join([*start, a.name]) for a in node.names}
    return found


def test_every_module_is_in_the_table() -> None:
    assert set(modules()) == set(MAY_IMPORT)


@pytest.mark.parametrize("module", MAY_IMPORT)
def test_module_imports_what_it_may(module: str) -> None:
    assert imports(modules()[module], module) == set(MAY_IMPORT[module].split())


def test_imports_have_no_cycle() -> None:
    done: set[str] = set()
    left = {module: set(allowed.split()) for module, allowed in MAY_IMPORT.items()}
    while left:
        free = {module for module, needs in left.items() if needs <= done}
        assert free, f"a cycle among {sorted(left)}"
        done |= free
        left = {module: needs for module, needs in left.items() if module not in free}
