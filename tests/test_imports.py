"""Who may import whom: the table is the diagram."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "infisical_azure"

#: Each module with all that it may import of the package, lowest first.
MAY_IMPORT = {
    "secret": "",
    "guid": "",
    "clouds": "",
    "exceptions": "",
    "signals": "",
    "logs": "",
    "permissions": "",
    "conf": "clouds secret",
    "fields": "conf exceptions secret",
    "host": "conf",
    "transport": "conf exceptions",
    "entra": "clouds exceptions guid logs secret transport",
    "id_token": "clouds entra exceptions secret transport",
    "graph": "clouds exceptions secret transport",
    "models": "clouds conf exceptions fields permissions",
    "news": "models signals",
    "flow": "clouds conf entra exceptions graph id_token models secret signals",
    "problems": "exceptions guid secret",
    "connection_options": "",
    "forms": "clouds conf entra exceptions flow guid models",
    "views": "conf connection_options flow forms host models problems",
    "callback": "conf exceptions flow host models problems",
    "urls": "callback views",
    "admin": "models",
    "checks": "conf guid host",
    "apps": "checks logs news",
    "templatetags.infisical_azure": "host",
    "templatetags": "",
    "": "",
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
    found = set()
    tree = ast.parse(path.read_text())
    hidden = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and node not in hidden:
            found |= {node.module} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import | ast.ImportFrom) and node not in hidden:
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(n.split(".")[0] in {"infisical_azure", "example_project"} for n in names)
    return {str(name) for name in found}


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
