"""Keys that a demo makes once and finds again."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from pathlib import Path


def read_or_create(path: Path) -> str:
    """Return the key kept in the file, made on first use."""
    try:
        if not path.exists():
            _create(path)
        return path.read_text()
    except OSError as exc:
        msg = f"Set {path.stem.upper()} in the environment, or make {path} writable: {exc.strerror}"
        raise ImproperlyConfigured(msg) from exc


def _create(path: Path) -> None:
    """Write a new key in full under another name, so that nobody reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent)  # readable by its owner only
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(50))
        # Of two processes that start together, the second keeps the first one's key.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
