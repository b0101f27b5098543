"""Tokens for callers who hold locks in a transaction, from an authority that detects reuse."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.db import connection as database
from django.db.backends.signals import connection_created
from django.db.models import Model
from django.utils import timezone

from example_project.standin.client import StandIn
from infisical_azure import keeping, tokens
from infisical_azure.exceptions import TokenUnavailableError
from infisical_azure.models import AccessToken, AppConnection, RefreshToken
from infisical_azure.resources import Resource

from ..database import is_sqlite
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


# Where the caller's locks are not all


@contextmanager
def watching_other_threads(watch: Callable[..., Any]) -> Iterator[None]:
    """See each statement on the database connections that other threads open."""

    def install(connection: Any, **kwargs: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            connection.execute_wrappers.append(watch)

    connection_created.connect(install)
    try:
        yield
    finally:
        connection_created.disconnect(install)


@pytest.fixture
def side_by_side(connection: AppConnection) -> None:
    """Let a second database connection write while the first one only reads."""
    if is_sqlite():
        with database.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode = wal")


def is_save_of(what: str, sql: str) -> bool:
    begins = f'UPDATE "infisical_azure_{what}" SET'
    # None is NULL in the text of the SQL up to Django 6.0, and a parameter since.
    gives_back = '"lease_until" = NULL', 'SET "lease_until" = %s WHERE'
    return sql.startswith(begins) and any(part in sql for part in ('"secret" =', *gives_back))


@pytest.mark.usefixtures("side_by_side")
def test_new_refresh_token_that_is_locked_by_another_is_saved_later(
    connection: AppConnection, standin: StandIn
) -> None:
    seen: list[Any] = []
    failed: list[str] = []

    def fail_at_first(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        seen.append(context["connection"])
        # Only where it is tried at once, and not where it is tried again.
        if is_save_of("refreshtoken", sql) and seen[-1] is seen[0]:
            failed.append(sql)
            raise OperationalError
        return execute(sql, params, many, context)

    before = RefreshToken.objects.get().secret
    with watching_other_threads(fail_at_first):
        in_transaction(lambda: tokens.get_token(connection), rolls_back=False)
        keeping.settle(connection.pk)
    assert len(failed) == 3
    assert RefreshToken.objects.get().secret.reveal() != before.reveal()
    assert refreshes(standin) == 1
    RefreshToken.objects.update(lease_until=None)  # As it will be when it has run out.
    check_that_all_is_well(connection, standin)


@pytest.mark.usefixtures("side_by_side")
def test_new_refresh_token_that_can_not_be_saved_at_all_is_told(
    connection: AppConnection, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(execute: Any, sql: str, *args: Any) -> Any:
        raise OperationalError

    with watching_other_threads(fail):
        keeping.keep(connection.pk, 0, {"failures": 1})
        keeping.settle(connection.pk)
    assert f"The new refresh token of {connection.pk} was not saved: OperationalError." in [
        record.message for record in caplog.records
    ]
    assert RefreshToken.objects.get().failures == 0


@pytest.mark.usefixtures("side_by_side")
@pytest.mark.parametrize("overtaken", ["before it is left", "before it is saved"])
def test_caller_saves_nothing_of_a_grant_that_was_replaced_meanwhile(
    connection: AppConnection, standin: StandIn, overtaken: str
) -> None:
    before = AccessToken.objects.get().secret
    failed: list[str] = []

    def be_reconnected(execute: Any, sql: str, *args: Any) -> Any:
        if is_save_of("accesstoken", sql):
            failed.append(sql)
            raise OperationalError
        if len(failed) == 1 and is_save_of("refreshtoken", sql):
            failed.append("")
            if overtaken == "before it is left":
                RefreshToken.objects.overtake(connection)
            else:
                AppConnection.objects.update(connected_at=timezone.now())
        return execute(sql, *args)

    def work() -> None:
        if overtaken == "before it is left":
            with pytest.raises(TokenUnavailableError):
                tokens.get_token(connection)
        else:
            assert tokens.get_token(connection).reveal()

    with watching_other_threads(be_reconnected):
        in_transaction(work, rolls_back=False)
    assert AccessToken.objects.get().secret.reveal() == before.reveal()
    assert refreshes(standin) == 1


@pytest.mark.postgresql
def test_caller_does_not_wait_for_a_lock_that_another_has(
    connection: AppConnection, standin: StandIn
) -> None:
    locked, has_token = threading.Event(), threading.Event()
    was_in_time: list[bool] = []

    def fail(execute: Any, sql: str, *args: Any) -> Any:
        if is_save_of("accesstoken", sql):
            raise OperationalError
        return execute(sql, *args)

    def lock() -> None:
        with transaction.atomic():
            list(AppConnection.objects.select_for_update())
            locked.set()
            was_in_time.append(has_token.wait(10))
        database.close()

    def work() -> None:
        assert tokens.get_token(connection).reveal()
        has_token.set()

    other = threading.Thread(target=lock)
    other.start()
    assert locked.wait(10)
    with watching_other_threads(fail):
        in_transaction(work, rolls_back=False)
    other.join()
    assert was_in_time == [True]
    assert refreshes(standin) == 1
    check_that_all_is_well(connection, standin)
