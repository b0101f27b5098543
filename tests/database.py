"""The database of a run, whichever engine it uses: shared, and interrupted by others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connections


def is_sqlite() -> bool:
    return "sqlite" in connections.settings["default"]["ENGINE"]


def url() -> str:
    """Return the address of the database in use, for DATABASE_URL of other processes."""
    values = connections["default"].settings_dict
    if is_sqlite():
        return f"sqlite:///{values['NAME']}"
    return "postgres://{USER}@{HOST}:{PORT}/{NAME}".format(**values)


@contextmanager
def sqlite_file(path: Path) -> Iterator[None]:
    """
    Use a migrated SQLite file instead of the database in memory.

    That one can't be shared: its tables lock at once instead of letting others wait.
    """
    memory = connections["default"]
    name = memory.settings_dict["NAME"]
    connections.settings["default"]["NAME"] = str(path)
    connections["default"] = connections.create_connection("default")
    try:
        call_command("migrate", verbosity=0)
        yield
    finally:
        connections["default"].close()
        connections.settings["default"]["NAME"] = name
        connections["default"] = memory


@contextmanager
def meanwhile(pattern: str, act: Callable[[], object]) -> Iterator[None]:
    """Do something just before the first statement that begins as the pattern says."""
    acts = [act]

    def before(execute: Any, sql: str, *args: Any) -> Any:
        if acts and re.match(pattern, sql):
            acts.pop()()
        return execute(sql, *args)

    with connections["default"].execute_wrapper(before):
        yield
