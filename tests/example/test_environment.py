"""Values of the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.core.exceptions import ImproperlyConfigured

from example_project.environment import env

if TYPE_CHECKING:
    from pathlib import Path


def test_secret_that_begins_with_a_dollar_is_taken_literally(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_SECRET", "$HOME~x")
    monkeypatch.setenv("SOME_KEYS", "$one,two")
    assert env.str("A_SECRET") == "$HOME~x"
    assert env.list("SOME_KEYS") == ["$one", "two"]


def test_secret_is_read_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("$from.file")
    monkeypatch.setenv("A_MOUNTED_SECRET_FILE", str(tmp_path / "secret"))
    assert env.str("A_MOUNTED_SECRET") == "$from.file"


def test_unreadable_value_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_PORT", "80a")
    with pytest.raises(ImproperlyConfigured, match="The value of A_PORT") as caught:
        env.int("A_PORT", default=1)
    assert "80a" not in str(caught.value)
