"""The round trip from one step to the next, apart from the pages around it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.http import HttpRequest
from django.test import RequestFactory
from django.utils import timezone

from infisical_azure import flow
from infisical_azure.id_token import sha256
from infisical_azure.models import AccessToken, AppConnection, Authorization, RefreshToken

from .conftest import Browser
from .microsoft import Microsoft, error

CODE = "0.CANARY-code"


def callback(**query: Any) -> HttpRequest:
    return RequestFactory().get("/callback", {"state": "CANARY-state", "code": CODE} | query)


@pytest.mark.parametrize(
    "name", ["state", "code", "error", "error_description", "error_subcode", "iss"]
)
def test_answer_that_says_something_twice_is_not_well_formed(name: str) -> None:
    assert flow.take_answer(callback()).is_well_formed
    assert not flow.take_answer(callback(**{name: ["once", "twice"]})).is_well_formed


def test_parameters_of_later_times_may_come_twice() -> None:
    assert flow.take_answer(callback(session_state=["a", "b"])).is_well_formed


@pytest.mark.parametrize(
    ("code", "is_right"),
    [
        ("", True),
        ("a" * 8192, True),
        ("a" * 8193, False),
        ("ä", False),
        ("a\x00b", False),
        ("a\nb", False),
    ],
    ids=["none", "long", "too long", "not ASCII", "NUL", "line"],
)
def test_code_is_of_the_signs_that_codes_are_made_of(code: str, is_right: bool) -> None:
    assert flow.take_answer(callback(code=code)).is_well_formed is is_right


def test_answer_is_taken_out_of_the_request() -> None:
    request = callback()
    query = request.META["QUERY_STRING"]
    request.META |= {"RAW_URI": f"/callback?{query}", "HTTP_X_FORWARDED_URI": f"/c?{query}#a"}
    request.META["wsgi.version"] = (1, 0)
    answer = flow.take_answer(request)
    assert (answer.state.reveal(), answer.code.reveal()) == ("CANARY-state", CODE)
    assert "CANARY" not in repr(answer)
    assert "CANARY" not in str(request.META)
    assert request.META["RAW_URI"] == "/callback?"
    assert not request.GET
    assert (answer.fault, answer.is_cancelled, answer.is_admin_consent) == (None, False, False)
    assert answer.issuer == ""


def test_request_without_a_query_keeps_its_headers() -> None:
    request = RequestFactory().get("/callback", headers={"accept": "text/html"})
    flow.forget_answer(request)
    assert request.META["HTTP_ACCEPT"] == "text/html"


@pytest.mark.parametrize(
    ("query", "cancelled", "consent"),
    [
        ({"error": "access_denied", "error_subcode": "cancel"}, True, False),
        ({"error": "server_error", "error_subcode": "cancel"}, False, False),
        ({"error": "access_denied", "error_subcode": "other"}, False, False),
        ({"error": "access_denied"}, False, False),
        (
            {"error": "access_denied", "error_subcode": "cancel", "error_description": "x"},
            False,
            False,
        ),
        ({"admin_consent": "True", "code": ""}, False, True),
        ({"admin_consent": "True"}, False, False),
    ],
    ids=lambda value: urlencode(value) if isinstance(value, dict) else str(value),
)
def test_answers_are_told_apart(query: dict[str, str], cancelled: bool, consent: bool) -> None:
    answer = flow.take_answer(callback(**query))
    assert (answer.is_cancelled, answer.is_admin_consent) == (cancelled, consent)
    assert (answer.fault is not None) is ("error" in query)
    if answer.fault is not None:
        assert answer.fault.error == query["error"]


@pytest.mark.django_db
def test_what_is_kept_of_a_round_trip_is_hashed_bound_and_brief(
    browser: Browser, settings: Any
) -> None:
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "AUTHORIZATION_LIFETIME": 120}
    sent = browser.begin(name="toys", description="For the toys").sent
    kept = Authorization.objects.get()
    marked = browser.session[flow.SESSION_KEY]
    assert kept.state_hash == sha256(sent["state"])
    assert kept.nonce_hash == sha256(sent["nonce"])
    assert kept.browser_hash == sha256(marked)
    assert (kept.user, kept.organization) == (browser.user, browser.organization)
    assert (kept.name, kept.description, kept.cloud) == ("toys", "For the toys", "public")
    assert (kept.connection, kept.may_switch, kept.claimed_at) == (None, False, None)
    assert kept.app == AppConnection.App.AZURE_CLIENT_SECRETS
    left = kept.expires_at - timezone.now()
    assert timedelta(seconds=110) < left <= timedelta(seconds=120)
    browser.begin(name="other")
    assert browser.session[flow.SESSION_KEY] == marked


@pytest.mark.django_db
def test_first_tokens_are_kept_with_their_times(browser: Browser, microsoft: Microsoft) -> None:
    browser.connect()
    held = AccessToken.objects.get()
    now = timezone.now()
    life = held.expires_at - held.issued_at
    assert now - held.issued_at < timedelta(minutes=1)
    assert held.expires_at - life / 5 <= held.refresh_at < held.expires_at
    assert "User.Read" in held.scopes
    kept = RefreshToken.objects.get()
    assert timedelta(days=89) < kept.expires_at - now <= timedelta(days=90)
    assert timedelta(days=58) < kept.due_at - now <= timedelta(days=60)
    connection = AppConnection.objects.get()
    assert now - connection.connected_at < timedelta(minutes=1)
    assert (connection.cloud, connection.app) == ("public", "azure-client-secrets")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("status", "scope", "problem"),
    [
        (403, "openid profile", None),
        (403, "https://graph.microsoft.com/User.Read", "graph_refused"),
        (401, "openid profile", "graph_refused"),
    ],
)
def test_graph_may_refuse_the_first_call_only_for_what_was_not_granted(
    browser: Browser, microsoft: Microsoft, status: int, scope: str, problem: str | None
) -> None:
    microsoft.token = {"scope": scope}
    microsoft.fail("me", status, {"error": {"code": "Authorization_RequestDenied"}})
    response = browser.connect()
    assert AppConnection.objects.exists() is (problem is None)
    if problem is None:
        assert AppConnection.objects.get().tenant_name == ""
        assert response["Location"].startswith(browser.url("connection_list"))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("temporarily_unavailable", "microsoft_unavailable"),
        ("server_error", "microsoft_unavailable"),
        ("invalid_request", "operator_setup"),
    ],
)
def test_error_in_the_answer_is_told_for_what_it_is(
    browser: Browser, name: str, problem: str
) -> None:
    sent = browser.begin().sent
    response = browser.come_back(sent, error=name, error_description=error(0)["error_description"])
    assert browser.problem(response) == problem
