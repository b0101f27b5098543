"""The stand-in in a process of its own, and the site talking to it over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from example_project.standin.client import StandIn

from . import cloud

REDIRECT_URI = "https://site.example/organization/app-connections/azure/oauth/callback"


@pytest.fixture(scope="session")
def standin_process() -> Iterator[StandIn]:
    from django.conf import settings

    with StandIn.start(
        [REDIRECT_URI],
        client_id=settings.INF_APP_CONNECTION_AZURE_CLIENT_ID,
        client_secret=settings.INF_APP_CONNECTION_AZURE_CLIENT_SECRET,
    ) as standin:
        yield standin


@pytest.fixture
def standin(standin_process: StandIn, settings: Any, monkeypatch: Any) -> StandIn:
    """Return the stand-in, freshly reset, as the only cloud of the site."""
    url = standin_process.url
    monkeypatch.setenv("TEST_STANDIN_URL", url)
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setattr(cloud, "STANDIN", cloud.at(url))
    settings.INFISICAL_AZURE = {
        **settings.INFISICAL_AZURE,
        "CLOUDS": ["tests.faults.cloud.STANDIN"],
        "TOTAL_TIMEOUT": 3,
        "READ_TIMEOUT": 2,
    }
    standin_process.reset()
    return standin_process
