"""Call Microsoft Graph as the account of a connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.core.exceptions import ImproperlyConfigured

from . import tokens
from .exceptions import Reaction, RemoteError, TokenUnavailableError
from .graph import GraphClient
from .models import AppConnection

Result = TypeVar("Result")


def on_behalf_of(connection: AppConnection, act: Callable[[GraphClient], Result]) -> Result:
    """
    Return what the calls of `act` return; a token that Graph no longer takes is replaced once.

    A call that was answered with 401 has done nothing, so `act` is safe to repeat then.
    Raises TokenUnavailableError and RemoteError.
    """
    try:
        cloud = connection.find_cloud()
    except ImproperlyConfigured as exc:
        raise TokenUnavailableError(
            connection_id=connection.pk, reaction=Reaction.OPERATOR, problem="cloud_disabled"
        ) from exc
    try:
        return act(GraphClient(tokens.get_token(connection).secret, cloud))
    except RemoteError as error:
        if error.fault.http_status != 401:
            raise
    return act(GraphClient(tokens.get_token(connection, is_live=True).secret, cloud))
