"""E-mail to those whom the host names, once per break."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from django.core import mail
from django.db.models import Model
from django.utils.module_loading import import_string

from infisical_azure import tokens
from infisical_azure.exceptions import TokenUnavailableError
from infisical_azure.models import AppConnection, Rotation

from .conftest import Browser
from .held_tokens import expire
from .microsoft import CORRELATION, Microsoft, error
from .rotations import Azure, advance

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks")]
BASE = import_string(__import__("tests.settings", fromlist=["x"]).INFISICAL_AZURE["HOST"])


class CaringHost(BASE):  # type: ignore[misc,valid-type]
    """Names people."""

    def get_recipients(self, organization: Model, connection: Model) -> Sequence[str]:
        return ["owner@site.example", "deputy@site.example"]


def break_it(
    browser: Browser, microsoft: Microsoft, capture: Any, aadsts: int = 50173
) -> AppConnection:
    browser.connect()
    connection = AppConnection.objects.get()
    microsoft.fail("token", 400, error(aadsts))
    expire()
    with capture(execute=True):
        for _ in range(3):
            with pytest.raises(TokenUnavailableError):
                tokens.get_token(connection)
    return connection


def test_people_hear_once_of_a_break(
    browser: Browser,
    microsoft: Microsoft,
    settings: Any,
    django_capture_on_commit_callbacks: Any,
) -> None:
    settings.INFISICAL_AZURE = {
        **settings.INFISICAL_AZURE, "HOST": "tests.test_notices.CaringHost",
    }  # fmt: skip
    connection = break_it(browser, microsoft, django_capture_on_commit_callbacks)
    (message,) = mail.outbox
    assert message.subject == "Azure connection production: Needs reconnect"
    assert message.to == ["owner@site.example", "deputy@site.example"]
    (html,) = message.alternatives  # type: ignore[attr-defined]
    path = browser.url("connection_detail", connection.pk)
    for text in (str(message.body), html[0]):
        assert "The access was revoked at Microsoft." in text
        assert "An administrator of this organization" in text
        assert f"https://site.example{path}" in text
        assert CORRELATION in text
        assert "CANARY" not in text


def test_nobody_is_told_where_the_host_names_nobody(
    browser: Browser, microsoft: Microsoft, django_capture_on_commit_callbacks: Any
) -> None:
    break_it(browser, microsoft, django_capture_on_commit_callbacks)
    assert mail.outbox == []


@pytest.mark.parametrize("has_one", [True, False])
def test_people_hear_of_a_rotation_that_fails_and_what_still_works(
    rotation: Rotation, azure: Azure, microsoft: Microsoft, settings: Any, has_one: bool
) -> None:
    settings.INFISICAL_AZURE = {
        **settings.INFISICAL_AZURE, "HOST": "tests.test_notices.CaringHost",
    }  # fmt: skip
    if has_one:
        advance(rotation)
        Rotation.objects.update(due_at=rotation.created_at)
    body = {"error": {"code": "Forbidden", "innererror": {"code": "ForbiddenByRbac"}}}
    microsoft.fail("vault_set", 403, body)
    advance(rotation, "failed")
    advance(rotation, "failed")
    (message,) = mail.outbox
    assert message.subject == "The client secret of HR is not replaced"
    (html,) = message.alternatives  # type: ignore[attr-defined]
    for text in (message.body, html.content):
        assert "Key Vault Secrets Officer" in text
        assert ("in use works until" in text) == has_one
        assert f"/rotations/{rotation.pk}/" in text
        assert "CANARY" not in text
