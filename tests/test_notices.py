"""E-mail to those whom the host names, once per break."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

import pytest
from django.core import mail
from django.db.models import Model
from django.utils.module_loading import import_string

from infisical_azure import notices, tokens
from infisical_azure.exceptions import TokenUnavailableError
from infisical_azure.models import AppConnection, Rotation, WatchedSecret
from infisical_azure.text import unlinked

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


#: What strangers may call an application, and what is shown of it.
NAMES = {
    "HR 2.0 (new)": "HR 2.0 (new)",
    "Payroll v1.2.3, live.": "Payroll v1.2.3, live.",
    "Node.js": "Node[.]js",
    "https://evil.example/login?a=b": "https[:]//evil[.]example/login?a=b",
    "www.1evil": "www[.]1evil",
    "evil.example.": "evil[.]example.",
    "EVIL.RU/x": "EVIL[.]RU/x",
    "\u0435vil.\u0440\u0444": "\u0435vil[.]\u0440\u0444",
    "evil\u3002example": "evil[\u3002]example",
    "evil\u200b.\u00adexample": "evil[.]example",
    "evil.\u3164example": "evil[.]example",
    "mailto:a@evil.example": "mailto[:]a@evil[.]example",
    "tel:123": "tel[:]123",
    "10.0.0.1/x": "10[.]0.0.1/x",
    "\\\\evil\\share": "[\\]\\evil\\share",
    "a\r\nBcc: x\n\n- b\u2028c\x85d": "a Bcc: x - b c d",
    "a\u00a0 \t b": "a b",
    "\u202egpj\u2066.exe\u2069\ufe0f": "gpj[.]exe",
    "\0\x1b[31m\ud800": "[31m",
    "<a href=x>y</a>": "<a href=x>y</a>",
    "\u200b\u3164": "",
}
LINK = re.compile(r"\w[.\u3002]\w*[^\W\d]|[a-z]:\S|\\\\\\\\|\d\.\d+\.\d+\.\d")


@pytest.mark.parametrize(("name", "shown"), NAMES.items())
def test_name_in_an_email_is_one_visible_line_without_links(name: str, shown: str) -> None:
    assert unlinked(name) == shown
    assert unlinked(shown) == shown
    assert not LINK.search(shown)


@pytest.mark.parametrize("kind", ["broken", "expiring", "rotation_failed"])
def test_names_that_strangers_chose_put_neither_links_nor_lines_into_emails(
    rotation: Rotation, settings: Any, kind: str
) -> None:
    settings.INFISICAL_AZURE = {
        **settings.INFISICAL_AZURE, "HOST": "tests.test_notices.CaringHost",
    }  # fmt: skip
    name = "".join(name for name in NAMES if "\0" not in name)[:190]
    for given in ("plain", name):
        connection = rotation.connection
        connection.name = connection.tenant_name = connection.account_name = given
        connection.tenant_domain = connection.account_username = given
        connection.organization.name = rotation.application_name = given
        connection.status, connection.problem = "needs-reconnect", "grant_revoked"
        if kind == "broken":
            notices.mail_that_broken(connection)
        elif kind == "expiring":
            secret = WatchedSecret(
                connection=connection, application_name=given, name=given, key_id=rotation.pk,
                expires_at=rotation.created_at,
            )  # fmt: skip
            notices.mail_that_expiring(connection, [secret])
        else:
            notices.mail_that_rotation_failed(rotation)
    plain, hostile = mail.outbox
    assert "evil" in hostile.subject
    ours = re.compile(r"https://site\.example/\S*")
    for before, after in (
        (plain.subject, hostile.subject),
        (plain.body, hostile.body),
        (plain.alternatives[0].content, hostile.alternatives[0].content),
    ):
        assert str(after).count("\n") == str(before).count("\n")
        text = html.unescape(re.sub(r"<[^>]+>|&lt;a.*?&gt;", "", str(after)))
        without_ours = ours.sub("", text).replace(": ", "").replace("a.m.", "").replace("p.m.", "")
        assert not LINK.search(without_ours), without_ours
        assert all(sign.isprintable() or sign == "\n" for sign in text)
        assert "\u3164" not in text
        assert str(after).count("<a ") == str(before).count("<a ")
