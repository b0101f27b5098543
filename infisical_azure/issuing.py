"""Issue a client secret for a person, once for each form, and give its value for a minute."""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn, cast
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from . import limits
from .applications import after_others, may_have_happened, noted
from .conf import conf
from .exceptions import InfisicalAzureError, RemoteError, TokenUnavailableError
from .graph import Application, GraphClient, NewSecret
from .history import Act, Attempt, Outcome
from .models import AppConnection, IssuedSecret, IssuedValue, database

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)
State = IssuedSecret.State
_POLL_SECONDS = 0.05


class SpentError(InfisicalAzureError):
    """The form was sent before, and the value is gone, or was another person's."""


class UnderWayError(InfisicalAzureError):
    """Another request with the same form still waits for Microsoft."""


class UncertainError(InfisicalAzureError):
    """Microsoft may have issued the client secret without saying so."""

    def __init__(self, correlation_id: str = "") -> None:
        super().__init__("Microsoft did not answer.")
        self.correlation_id = correlation_id


class ConnectionGoneError(InfisicalAzureError):
    """The connection was removed meanwhile; `left` is what could not be removed again."""

    def __init__(self, left: IssuedSecret | None = None) -> None:
        super().__init__("The connection was removed.")
        self.left = left


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person asks for with one form."""

    key: UUID
    """The form's one-time key."""
    connection: AppConnection
    user: User
    application_id: UUID
    name: str
    lifetime: timedelta


def find(wish: Wish) -> IssuedValue | None:
    """
    Return the value that another request with the same form gets; None without such a request.

    Raises SpentError, UnderWayError and UncertainError.
    """
    give_up_at = timezone.now() + conf.lease
    while secret := IssuedSecret.objects.filter(pk=wish.key).first():
        if not _is_of(secret, wish):
            raise SpentError
        if secret.state == State.ISSUED:
            shown = IssuedValue.objects.shown_to(wish.user)
            value: IssuedValue | None = shown.filter(pk=wish.key).first()
            if value is None:
                raise SpentError
            return value
        if secret.is_uncertain:
            raise UncertainError
        if timezone.now() > give_up_at:
            raise UnderWayError
        time.sleep(_POLL_SECONDS)
    return None


def issue(wish: Wish, application: Application) -> IssuedValue:
    """
    Issue the client secret and keep its value, or wait for a request with the same form.

    Raises what `find` raises, ConnectionGoneError, and LimitReachedError, TokenUnavailableError
    or RemoteError where nothing was issued: then the form works again.
    """
    while True:
        secret, is_ours = _ask(wish, application)
        if is_ours:
            return _issue(secret, wish)
        value = find(wish)
        if value is not None:
            return value


def _is_of(secret: IssuedSecret, wish: Wish) -> bool:
    asked_by = (secret.user_id, secret.connection_id, secret.application_id)
    return asked_by == (wish.user.pk, wish.connection.pk, wish.application_id)


def _ask(wish: Wish, application: Application) -> tuple[IssuedSecret, bool]:
    """Save the wish before Microsoft is asked; return False where another request has."""
    IssuedValue.objects.purge()
    now = timezone.now()
    with transaction.atomic(using=database()):
        if not wish.connection.lock():
            raise ConnectionGoneError
        secret, is_ours = IssuedSecret.objects.get_or_create(
            pk=wish.key,
            defaults={
                "connection": wish.connection,
                "user": wish.user,
                "application_id": application.id,
                "app_id": application.app_id,
                "application_name": application.name,
                "name": wish.name,
                "asked_at": now,
                "expires_at": now + wish.lifetime,
            },
        )
        if is_ours:
            limits.SECRETS.keep(wish.connection.organization)
        return secret, is_ours


def _issue(secret: IssuedSecret, wish: Wish) -> IssuedValue:
    attempt = Attempt(
        act=Act.SECRET_ISSUED,
        connection=wish.connection,
        user=wish.user,
        application_id=secret.application_id,
        application_name=secret.application_name,
        name=secret.name,
    )

    def add(graph: GraphClient) -> tuple[GraphClient, NewSecret]:
        return graph, graph.add_password(
            secret.application_id,
            name=secret.name,
            starts_at=secret.asked_at,
            expires_at=secret.expires_at,
        )

    try:
        graph, new = noted(attempt, add)
    except (TokenUnavailableError, RemoteError) as error:
        if not may_have_happened(error):
            secret.delete()  # So that a second click may try again.
            raise
        IssuedSecret.objects.filter(pk=secret.pk).update(state=State.UNCERTAIN)
        # Only Microsoft's answers, or their absence, can be uncertain.
        raise UncertainError(cast("RemoteError", error).fault.correlation_id) from None
    secret.state, secret.key_id = State.ISSUED, new.key_id
    secret.expires_at = new.expires_at or secret.expires_at
    attempt.tell(Outcome.DONE, key_id=new.key_id)
    return _keep(secret, wish, new) or _take_back(graph, secret, attempt)


def _keep(secret: IssuedSecret, wish: Wish, new: NewSecret) -> IssuedValue | None:
    """Save what was issued; return None where the connection was removed meanwhile."""
    with transaction.atomic(using=database()):
        if not wish.connection.lock():
            return None
        secret.save(update_fields=["state", "key_id", "expires_at"])
        return IssuedValue.objects.create(
            of=secret,
            user=wish.user,
            secret=new.value,
            kept_until=timezone.now() + IssuedValue.KEPT,
        )


def _take_back(graph: GraphClient, secret: IssuedSecret, attempt: Attempt) -> NoReturn:
    """Remove a client secret that nobody would know of; the token outlives the connection."""
    key_id = cast("UUID", secret.key_id)
    removal = replace(attempt, act=Act.SECRET_REMOVED, key_id=key_id, id=uuid.uuid4())
    try:
        after_others(lambda: graph.remove_password(secret.application_id, key_id))
    except RemoteError as error:
        removal.tell(Outcome.FAILED, error=error)
        logger.error(
            "The client secret %s of the application %s was issued while its connection was "
            "removed, and could not be removed again: %s",
            key_id,
            secret.app_id,
            error,
        )
        raise ConnectionGoneError(left=secret) from None
    removal.tell(Outcome.DONE)
    raise ConnectionGoneError
