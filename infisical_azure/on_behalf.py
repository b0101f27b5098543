"""Call Microsoft's services as the account of a connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.core.exceptions import ImproperlyConfigured

from . import tokens
from .exceptions import DecryptionError, Reaction, RemoteError, TokenUnavailableError
from .graph import GraphClient
from .models import AppConnection
from .resources import Resource
from .secret import Secret

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
    return with_token(connection, Resource.GRAPH, lambda token: act(GraphClient(token, cloud)))


def with_token(connection: AppConnection, resource: str, act: Callable[[Secret], Result]) -> Result:
    """Do the same with a token for any resource, as `tokens.get_token` takes it."""
    try:
        return act(tokens.get_token(connection, resource).secret)
    except DecryptionError:
        claims = ""  # A new one opens; or it is told that nothing of the connection does.
    except RemoteError as error:
        if error.fault.http_status != 401:
            raise
        claims = error.fault.claims
    try:
        return act(tokens.get_token(connection, resource, claims=claims, is_live=True).secret)
    except RemoteError as error:
        connection.keep_claims(error.fault.claims)  # Only a new sign-in can prove it.
        raise
