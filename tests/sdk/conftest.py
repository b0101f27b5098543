"""The stand-in over HTTPS, and a credential of one of its accounts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.core.pipeline.transport import RequestsTransport

from example_project.standin.client import StandIn

from ..standin.app import REDIRECT_URI, App
from .credential import RefreshingCredential


@pytest.fixture(scope="session")
def secure_standin() -> Iterator[StandIn]:
    with StandIn.start([REDIRECT_URI], tls=True) as standin:
        yield standin


@pytest.fixture
def standin(secure_standin: StandIn) -> StandIn:
    secure_standin.reset()
    secure_standin.data_planes(looks_until_settled=2, page_size=2)
    return secure_standin


@pytest.fixture
def app(standin: StandIn) -> App:
    return App(standin)


@pytest.fixture
def credential(app: App) -> RefreshingCredential:
    """Whatever has get_token and get_token_info for ada@contoso.com."""
    return RefreshingCredential(app, "ada@contoso.com")


@pytest.fixture
def transport(standin: StandIn) -> Iterator[RequestsTransport]:
    """Leads Azure's own host names to the stand-in."""
    with standin.session() as session:
        yield RequestsTransport(
            session=session, session_owner=False, connection_verify=standin.ca_file
        )
