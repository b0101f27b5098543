"""The example site's tests: ``pytest --ds=example_project.settings tests/example``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.contrib.auth.models import User
    from django.test import Client
    from pytest_django import Settings

# Under another project's settings none of these can be imported.
collect_ignore_glob = [] if settings.ROOT_URLCONF == "example_project.urls" else ["test_*.py"]


@pytest.fixture
def people(db: None, settings: Settings) -> dict[str, User]:
    """Return the demo's people by their username."""
    from django.contrib.auth.models import User

    from example_project.people import seed

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    seed()
    return {user.username: user for user in User.objects.all()}


@pytest.fixture
def sign_in(client: Client, people: dict[str, User]) -> Callable[[str], Client]:
    """Return a function that signs somebody in and returns their browser."""

    def sign_in(username: str) -> Client:
        client.force_login(people[username])
        return client

    return sign_in
