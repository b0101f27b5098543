"""Failures raised anew: what goes on, and what is left behind."""

from __future__ import annotations

import copy
import pickle
import traceback
from typing import NoReturn

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError
from greenlet import GreenletExit

from infisical_azure.anew import raised_anew, raising_anew
from infisical_azure.exceptions import DeliveryError, UnforeseenError
from infisical_azure.secret import Secret

VALUE = "CANARY-value"


class JobTimeoutException(Exception):
    """Is to RQ's as its namesake."""


def failing(error: BaseException) -> NoReturn:
    held = VALUE
    try:
        raise KeyError(held)
    except KeyError:
        raise error from ValueError(held)


def caught(error: BaseException) -> BaseException:
    try:
        raised_anew(lambda: failing(error))
    except BaseException as found:  # noqa: BLE001
        return found


def shown(error: BaseException) -> str:
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


@pytest.mark.parametrize(
    "error",
    [
        *(SystemExit(1), KeyboardInterrupt(), GeneratorExit(), GreenletExit()),
        *(SoftTimeLimitExceeded(), JobTimeoutException()),
        *(DeliveryError("no"), ImproperlyConfigured("no"), IntegrityError("no")),
    ],
    ids=repr,
)
def test_interruption_and_what_is_raised_on_purpose_go_on_without_frames(
    error: BaseException,
) -> None:
    assert VALUE in shown(_direct(error))
    found = caught(error)
    assert found is error
    assert VALUE not in shown(found)
    assert "in failing" not in shown(found)


def _direct(error: BaseException) -> BaseException:
    try:
        failing(error)
    except BaseException as found:  # noqa: BLE001
        return found


def test_interruption_tells_once_where_it_came() -> None:
    def interrupt() -> NoReturn:
        raise SystemExit(1)

    with pytest.raises(SystemExit) as caught:
        raised_anew(lambda: raised_anew(interrupt))
    (note,) = caught.value.__notes__
    assert note.startswith("It came at ")
    assert "test_anew.py" in note
    assert "interrupt" in note


def test_unforeseen_exception_tells_its_type_and_place_only() -> None:
    def fail() -> NoReturn:
        raise RuntimeError(VALUE)

    with pytest.raises(UnforeseenError) as caught:
        raised_anew(fail)
    assert str(caught.value).startswith("RuntimeError at ")
    assert "test_anew.py" in str(caught.value)
    assert VALUE not in shown(caught.value)


def test_function_that_raises_anew_takes_and_returns_what_it_did() -> None:
    @raising_anew
    def add(left: int, *, right: int) -> int:
        """Add two."""
        return left + right

    assert add(1, right=2) == 3
    assert add.__name__ == "add"


def test_secret_shows_its_text_to_nobody() -> None:
    secret = Secret.of(lambda: VALUE)
    for held in (secret, Secret(VALUE), Secret(lambda: VALUE)):
        assert VALUE not in f"{held} {held!r} {[held]}"
        assert held.reveal() == VALUE
        assert held == secret
        assert copy.deepcopy(held) is held
        with pytest.raises(TypeError):
            pickle.dumps(held)
        with pytest.raises(TypeError):
            copy.copy(held)
    assert secret != VALUE
    assert secret.digest() == Secret(VALUE).digest() != Secret("other").digest()
    assert Secret.random() != Secret.random()


def test_failure_to_open_a_secret_is_raised_anew() -> None:
    def fail() -> NoReturn:
        failing(SystemExit(1))

    with pytest.raises(SystemExit) as caught:
        Secret(fail).reveal()
    assert VALUE not in shown(caught.value)
