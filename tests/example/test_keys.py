"""Keys in files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.core.exceptions import ImproperlyConfigured

from example_project.keys import read_or_create

if TYPE_CHECKING:
    from pathlib import Path


def test_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "var" / "secret_key"
    key = read_or_create(path)
    assert len(key) > 50
    assert read_or_create(path) == key
    assert path.stat().st_mode & 0o077 == 0
    assert list(path.parent.iterdir()) == [path]


def test_two_keys_differ(tmp_path: Path) -> None:
    assert read_or_create(tmp_path / "a") != read_or_create(tmp_path / "b")


def test_unusable_folder_names_the_variable_to_set(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file, not a folder")
    with pytest.raises(ImproperlyConfigured, match="Set SECRET_KEY in the environment"):
        read_or_create(tmp_path / "var" / "secret_key")
