"""The view behind Microsoft's way back, and the page for an answer that is nobody's."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from infisical_azure.models import AppConnection, Authorization

from .conftest import Browser
from .hostapp.host import add_member, make_organization
from .microsoft import TENANT, Microsoft

pytestmark = pytest.mark.django_db
LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"


def problem_url(code: str) -> str:
    return reverse("infisical_azure:azure_oauth_problem", args=[code])


def test_site_that_asks_for_login_everywhere_still_explains(settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, LOGIN_REQUIRED]
    callback = Client().get(reverse("infisical_azure:azure_oauth_callback"), {"code": "CANARY"})
    assert callback["Location"] == problem_url("signed_out")
    page = Client().get(callback["Location"])
    assert page.context["login_url"] == "/login/"
    assert page.context["connections_url"] == ""
    assert "no-store" in page["Cache-Control"]
    assert page["X-Frame-Options"] == "DENY"


def test_page_leads_to_where_this_person_set_out_lately(
    browser: Browser, organization: Model, microsoft: Microsoft
) -> None:
    assert browser.get(problem_url("state_unrecognised")).context["connections_url"] == ""
    browser.begin(name="first")
    second = make_organization("Wingtip Toys")
    add_member(second, browser.user)
    lately = Browser(browser.user, second, microsoft)
    lately.begin(name="second")
    Authorization.objects.filter(name="second").update(
        expires_at=Authorization.objects.get(name="first").expires_at + timedelta(minutes=1)
    )
    someone = User.objects.create_user("eve")
    third = make_organization("Adventure Works")
    add_member(third, someone)
    Browser(someone, third, microsoft).begin(name="third")
    page = browser.get(problem_url("state_unrecognised"))
    assert page.context["connections_url"] == lately.url("connection_list")
    page = browser.get(problem_url("signed_out"))
    assert (page.context["login_url"], page.context["connections_url"]) == ("/login/", "")


def test_log_names_the_round_trip_where_there_is_one(browser: Browser, caplog: Any) -> None:
    caplog.set_level(logging.WARNING, "infisical_azure.callback")
    browser.come_back({"state": "nobody's"})
    browser.come_back(browser.begin().sent, error="access_denied")
    nobodys, ours = (record.getMessage() for record in caplog.records)
    assert nobodys.startswith("A callback ended with state_unrecognised: ")
    kept = Authorization.objects.get()
    assert ours.startswith(f"authorization {kept.pk} ended with ")
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_time_limit_of_the_site_is_the_sites_to_handle(
    browser: Browser, microsoft: Microsoft
) -> None:
    sent = browser.begin().sent
    microsoft.fail("token", None, SoftTimeLimitExceeded())
    with pytest.raises(SoftTimeLimitExceeded):
        browser.come_back(sent)
    assert Authorization.objects.get().problem == ""


def test_site_without_messages_is_led_on_all_the_same(browser: Browser, settings: Any) -> None:
    settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if "messages" not in one]
    sent = browser.begin().sent
    response = browser.come_back(sent)
    connection = AppConnection.objects.get()
    assert response["Location"].endswith(f"?connected={connection.pk}")
    assert str(connection.tenant_id) == TENANT


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        (None, "Azure connection production is ready."),
        (
            "https://graph.microsoft.com/User.Read",
            "Azure connection production is there, but a permission is missing.",
        ),
    ],
)
def test_welcome_says_whether_anything_is_missing(
    browser: Browser, microsoft: Microsoft, scope: str | None, message: str
) -> None:
    microsoft.token = {"scope": scope} if scope else {}
    page = browser.get(browser.connect()["Location"])
    assert [str(one) for one in page.context["messages"]] == [message]
