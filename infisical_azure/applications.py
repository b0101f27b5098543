"""The applications of a connection's directory, and their client secrets."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar, cast
from uuid import UUID

from .exceptions import RemoteError, TokenUnavailableError
from .graph import Application, ApplicationPage, GraphClient
from .history import Attempt, Outcome
from .models import AppConnection
from .on_behalf import on_behalf_of
from .pauses import is_brief_conflict

Result = TypeVar("Result")
# Somebody else's write to the same application is over within seconds.
_PAUSES = (timedelta(seconds=1), timedelta(seconds=2))


def list_applications(
    connection: AppConnection, search: str = "", *, next_link: str = ""
) -> ApplicationPage:
    """
    Return a page of the directory's applications, as `GraphClient.applications` does.

    Raises TokenUnavailableError and RemoteError, as every function of this module.
    """
    return on_behalf_of(connection, lambda graph: graph.applications(search, next_link=next_link))


def find_application(connection: AppConnection, object_id: UUID) -> Application:
    """Return one application with its client secrets."""
    return on_behalf_of(connection, lambda graph: graph.application(object_id))


def remove_secret(attempt: Attempt) -> None:
    """Remove the client secret that the attempt is about; one that is gone is removed."""
    key_id = cast("UUID", attempt.key_id)
    noted(attempt, lambda graph: take_away(graph, attempt.application_id, key_id))
    attempt.tell(Outcome.DONE)


def take_away(graph: GraphClient, object_id: UUID, key_id: UUID) -> None:
    """Remove a client secret; one that is gone is removed."""
    try:
        graph.remove_password(object_id, key_id)
    except RemoteError as error:
        # The same refusal is seen for a secret that has only just been issued.
        if error.fault.http_status not in {400, 404} or _has(graph, object_id, key_id):
            raise


def _has(graph: GraphClient, object_id: UUID, key_id: UUID) -> bool:
    try:
        application = graph.application(object_id)
    except RemoteError as error:
        if error.fault.http_status == 404:
            return False
        raise
    return any(secret.key_id == key_id for secret in application.secrets)


def noted(attempt: Attempt, act: Callable[[GraphClient], Result]) -> Result:
    """Do it once nobody else changes the application, and tell the history when that fails."""
    attempt.tell(Outcome.BEGUN)
    try:
        return on_behalf_of(attempt.connection, lambda graph: after_others(lambda: act(graph)))
    except (TokenUnavailableError, RemoteError) as error:
        uncertain = may_have_happened(error)
        attempt.tell(Outcome.UNCERTAIN if uncertain else Outcome.FAILED, error=error)
        raise


def may_have_happened(error: Exception) -> bool:
    """Say whether a change that failed with this may have been made all the same."""
    if not isinstance(error, RemoteError):
        return False
    status = error.fault.http_status
    return status is None or status == 408 or not 400 <= status < 500


def after_others(act: Callable[[], Result]) -> Result:
    """Try again where the directory refused because somebody else was writing."""
    for pause in _PAUSES:
        try:
            return act()
        except RemoteError as error:
            if not is_brief_conflict(error.fault):
                raise
        time.sleep(pause.total_seconds())
    return act()
