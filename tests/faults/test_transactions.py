"""Tokens for callers who hold locks in a transaction, from an authority that detects reuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection as database
from django.db import transaction
from django.db.models import Model

from example_project.standin.client import StandIn
from infisical_azure import keeping, tokens
from infisical_azure.exceptions import TokenUnavailableError
from infisical_azure.models import AccessToken, AppConnection, RefreshToken
from infisical_azure.resources import Resource

from ..held_tokens import expire
from .crowd import connect, make_due
from .test_refresh import refreshes

LOCKED: dict[str, list[type[Model]]] = {
    "nothing": [],
    "connection": [AppConnection],
    "refresh token": [RefreshToken],
    "access tokens": [AccessToken],
    "everything": [AppConnection, RefreshToken, AccessToken],
}
#: A sample of levels of isolation, and whether the caller rolls back: each lock takes a second.
ENDS = [
    ("READ COMMITTED", False),
    ("READ COMMITTED", True),
    ("REPEATABLE READ", True),
    ("SERIALIZABLE", False),
]


class RollBack(Exception):
    """What the caller's own work fails with."""


@pytest.fixture
def connection(committed: None, standin: StandIn) -> AppConnection:
    made = connect(standin)
    make_due()
    standin.detect_reuse()
    return made


def in_transaction(work: Callable[[], object], *, rolls_back: bool) -> None:
    try:
        with transaction.atomic():
            work()
            if rolls_back:
                raise RollBack
    except RollBack:
        pass


def check_that_all_is_well(connection: AppConnection, standin: StandIn) -> None:
    """Each later refresh works too, which none would with a refresh token used twice."""
    connection.refresh_from_db()
    assert (connection.status, connection.problem) == ("ready", "")
    expire()
    assert tokens.get_token(connection).reveal()
    assert standin.double_uses() == 0
    row = RefreshToken.objects.get()
    assert (row.lease_until, row.revoked_at) == (None, None)


@pytest.mark.postgresql
@pytest.mark.parametrize(("level", "rolls_back"), ENDS)
@pytest.mark.parametrize("locked", LOCKED)
def test_one_request_whatever_the_caller_has_locked(
    connection: AppConnection, standin: StandIn, locked: str, level: str, rolls_back: bool
) -> None:
    got: list[str] = []
    before = RefreshToken.objects.get().secret

    def work() -> None:
        with database.cursor() as cursor:
            cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        for model in LOCKED[locked]:
            list(model._default_manager.select_for_update())
        # One is held already, and the other one is not.
        got.append(tokens.get_token(connection).reveal())
        got.append(tokens.get_token(connection, Resource.KEY_VAULT).reveal())

    in_transaction(work, rolls_back=rolls_back)
    assert refreshes(standin) == 2
    keeping.settle(connection.pk)
    assert RefreshToken.objects.get().secret.reveal() != before.reveal()
    if not rolls_back:
        for token, resource in zip(got, (Resource.GRAPH, Resource.KEY_VAULT), strict=True):
            assert tokens.get_token(connection, resource).reveal() == token
        assert refreshes(standin) == 2
    check_that_all_is_well(connection, standin)


@pytest.mark.parametrize("rolls_back", [False, True], ids=["commit", "roll-back"])
@pytest.mark.parametrize("writes", [False, True], ids=["reads", "writes"])
def test_one_request_whatever_the_caller_does(
    connection: AppConnection, standin: StandIn, writes: bool, rolls_back: bool
) -> None:
    """In SQLite, where a caller that writes locks everything."""

    def work() -> None:
        assert AppConnection.objects.count() == 1
        if writes:
            AppConnection.objects.update(description="changed")
            RefreshToken.objects.update(failures=0)
        tokens.get_token(connection)
        tokens.get_token(connection, Resource.KEY_VAULT)

    in_transaction(work, rolls_back=rolls_back)
    assert refreshes(standin) == 2
    check_that_all_is_well(connection, standin)


@pytest.mark.postgresql
@pytest.mark.parametrize("rolls_back", [False, True], ids=["commit", "roll-back"])
def test_failure_is_noted_by_a_caller_who_has_locked_the_connection(
    connection: AppConnection, standin: StandIn, rolls_back: bool
) -> None:
    standin.revoke_sessions("ada@contoso.com")

    def work() -> None:
        list(AppConnection.objects.select_for_update())
        for _ in range(2):
            with pytest.raises(TokenUnavailableError):
                tokens.get_token(connection)

    in_transaction(work, rolls_back=rolls_back)
    assert refreshes(standin) == 1
    assert RefreshToken.objects.get().revoked_at is not None
    connection.refresh_from_db()
    assert (connection.status == "needs-reconnect") is not rolls_back


def test_connection_that_the_caller_has_just_made(
    connection: AppConnection, standin: StandIn
) -> None:
    """Nobody else sees it yet, so all is done in the caller's transaction."""
    values: dict[str, Any] = {
        field.attname: getattr(connection, field.attname)
        for field in AppConnection._meta.concrete_fields
        if field.name not in {"id", "name"}
    }
    with transaction.atomic():
        made = AppConnection.objects.create(name="made-now", **values)
        secret = RefreshToken.objects.get(pk=connection.pk).secret
        RefreshToken.objects.create(
            connection=made, secret=secret, expires_at=RefreshToken.objects.get().expires_at
        )
        token = tokens.get_token(made)
    assert tokens.get_token(made).reveal() == token.reveal()
    assert refreshes(standin) == 1
