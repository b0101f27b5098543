"""One stand-in for all tests here, reset before each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from example_project.standin.client import StandIn

from .app import REDIRECT_URI, App


@pytest.fixture(scope="session")
def running_standin() -> Iterator[StandIn]:
    uris = (REDIRECT_URI, "https://app.example.com", "https://app.example.com/back?keep=1")
    with StandIn.start(redirect_uris=uris) as standin:
        yield standin


@pytest.fixture
def standin(running_standin: StandIn) -> StandIn:
    running_standin.reset()
    return running_standin


@pytest.fixture
def app(standin: StandIn) -> App:
    return App(standin)
