"""Everything that can come back wrong: nothing is saved, and the person is told what to do."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from typing import Any

import pytest
import requests
import time_machine
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.db.models import Model
from django.urls import reverse
from django.utils import timezone

from infisical_azure.host import Host
from infisical_azure.models import AccessToken, AppConnection, Authorization, RefreshToken
from infisical_azure.problems import CATALOGUE

from .conftest import Browser
from .hostapp.host import add_member, make_organization, remove_member
from .microsoft import CORRELATION, OTHER_TENANT, TENANT, TRACE, Microsoft, description, error

pytestmark = pytest.mark.django_db


def nothing_is_saved() -> bool:
    return not (
        AppConnection.objects.exists()
        or AccessToken.objects.exists()
        or RefreshToken.objects.exists()
    )


# What Microsoft sends back in the URL


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({"error": "access_denied", "error_subcode": "cancel"}, "cancelled"),
        (
            {"error": "access_denied", "error_description": description(65004)},
            "consent_declined",
        ),
        (
            {
                "error": "access_denied",
                "error_subcode": "cancel",
                "error_description": description(65004),
            },
            "consent_declined",
        ),
        (
            {"error": "access_denied", "error_description": description(90094)},
            "admin_approval_needed",
        ),
        ({"error": "consent_required"}, "admin_approval_needed"),
        ({"error": "interaction_required"}, "interaction_needed"),
        ({"error": "login_required"}, "interaction_needed"),
        (
            {"error": "interaction_required", "error_description": description(50105)},
            "account_not_assigned",
        ),
        ({"error": "server_error"}, "microsoft_unavailable"),
        ({"error": "temporarily_unavailable"}, "microsoft_unavailable"),
        ({"error": "invalid_request"}, "operator_setup"),
        ({"error": "<script>"}, "refused"),
        ({"iss": f"https://login.microsoftonline.com/{OTHER_TENANT}/v2.0"}, "wrong_tenant"),
        ({"iss": "https://evil.example", "error": "access_denied"}, "wrong_tenant"),
        ({"code": None}, "refused"),
        ({"code": ""}, "refused"),
    ],
)
def test_error_in_the_answer_is_explained_and_no_token_is_asked(
    browser: Browser, microsoft: Microsoft, answer: dict[str, Any], problem: str
) -> None:
    response = browser.come_back(browser.begin().sent, **answer)
    assert response.status_code == 303
    assert browser.problem(response) == problem
    assert microsoft.count("token") == 0
    assert nothing_is_saved()


def test_error_beside_a_code_counts_as_an_error(browser: Browser, microsoft: Microsoft) -> None:
    response = browser.come_back(browser.begin().sent, error="access_denied")
    assert browser.problem(response) == "consent_declined"
    assert microsoft.count("token") == 0


def test_correct_issuer_is_accepted(browser: Browser) -> None:
    issuer = f"https://login.microsoftonline.com/{TENANT}/v2.0"
    browser.come_back(browser.begin().sent, iss=issuer)
    assert AppConnection.objects.get().status == "ready"


# What the token endpoint answers


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (400, error(54005), "code_rejected"),
        (400, error(70008), "code_rejected"),
        (400, error(9002313), "code_rejected"),
        (400, error(501481), "code_rejected"),
        (400, error(700005), "code_rejected"),
        (400, error(99999999), "code_rejected"),
        (401, error(7000215, "invalid_client"), "client_secret_wrong"),
        (401, error(7000218, "invalid_client"), "client_secret_wrong"),
        (401, error(99999999, "invalid_client"), "client_secret_wrong"),
        (401, error(7000222, "invalid_client"), "client_secret_expired"),
        (400, error(50011, "invalid_client"), "redirect_uri_mismatch"),
        (400, error(700016, "unauthorized_client"), "application_missing"),
        (400, error(7000112, "unauthorized_client"), "application_missing"),
        (400, error(90002, "invalid_request"), "tenant_unknown"),
        (400, error(500011, "invalid_resource"), "operator_setup"),
        (400, error(70011, "invalid_scope"), "operator_setup"),
        (400, error(65001, suberror="consent_required"), "admin_approval_needed"),
        (400, error(99999999, suberror="consent_required"), "admin_approval_needed"),
        (400, error(50076, suberror="basic_action"), "interaction_needed"),
        (400, error(53003, suberror="message_only", claims='{"a": 1}'), "blocked_by_policy"),
        (400, error(1, suberror="additional_action"), "code_rejected"),
        (400, error(1, "brand_new_error", suberror="additional_action"), "blocked_by_policy"),
        (400, error(1, "brand_new_error"), "refused"),
        (400, error(50196), "throttled"),
        (429, error(90055, "temporarily_unavailable"), "throttled"),
        (429, "slow down", "throttled"),
        (503, error(90033, "temporarily_unavailable"), "microsoft_unavailable"),
        (503, "<html>Service Unavailable</html>", "microsoft_unavailable"),
        (500, "", "microsoft_unavailable"),
        (200, "<html>Hello</html>", "microsoft_unavailable"),
        (200, "", "microsoft_unavailable"),
        (200, [], "microsoft_unavailable"),
        (200, {}, "microsoft_unavailable"),
        (200, error(50011), "microsoft_unavailable"),
        (200, {"access_token": "CANARY-a", "expires_in": 3600}, "microsoft_unavailable"),
        (200, {"token_type": "Bearer", "expires_in": 3600}, "microsoft_unavailable"),
        (
            200,
            {"access_token": "CANARY-a", "token_type": "Bearer", "expires_in": "soon"},
            "microsoft_unavailable",
        ),
        (400, {"error": 7, "error_codes": ["x"], "claims": "no json"}, "microsoft_unavailable"),
        (400, error(1, "brand_new_error", claims="no json"), "refused"),
        (302, "", "microsoft_unavailable"),
        (200, b"x" * 1_000_001, "microsoft_unavailable"),
    ],
)
def test_refused_code_is_explained_and_nothing_is_saved(
    browser: Browser, microsoft: Microsoft, status: int, body: Any, problem: str
) -> None:
    microsoft.fail("token", status, body, Location="https://evil.example/")
    response = browser.connect()
    assert response.status_code == 303
    assert browser.problem(response) == problem
    assert microsoft.count("token") == 1
    assert microsoft.count("me") == 0
    assert nothing_is_saved()


@pytest.mark.parametrize(
    "failure",
    [requests.ConnectTimeout(), requests.ReadTimeout(), requests.ConnectionError("CANARY")],
)
def test_dead_network_at_the_exchange_is_not_retried(
    browser: Browser, microsoft: Microsoft, failure: Exception
) -> None:
    microsoft.fail("token", body=failure)
    assert browser.problem(browser.connect()) == "microsoft_unavailable"
    assert microsoft.count("token") == 1
    assert nothing_is_saved()


def test_secret_id_in_place_of_its_value_is_recognised(
    browser: Browser, microsoft: Microsoft, settings: Any
) -> None:
    settings.INF_APP_CONNECTION_AZURE_CLIENT_SECRET = "99999999-2222-3333-4444-555555555555"
    microsoft.fail("token", 401, error(7000215, "invalid_client"))
    assert browser.problem(browser.connect()) == "client_secret_is_id"


def test_ids_for_support_are_shown_and_free_text_of_the_answer_is_not(browser: Browser) -> None:
    text = description(65004, "Call +1 555 0100 <b>now</b>")
    response = browser.come_back(
        browser.begin().sent, error="access_denied", error_description=text
    )
    page = browser.get(response["Location"]).content.decode()
    assert "AADSTS65004" in page
    assert TRACE in page
    assert CORRELATION in page
    assert "555 0100" not in page


@pytest.mark.parametrize(
    "text", ["no ids", "AADSTS65004 Trace ID: <script>alert(1)</script> Correlation ID: x"]
)
def test_ids_that_are_no_guids_are_dropped(browser: Browser, text: str) -> None:
    browser.come_back(browser.begin().sent, error="access_denied", error_description=text)
    failed = Authorization.objects.get()
    assert (failed.trace_id, failed.correlation_id) == ("", "")


# What the id token and Graph say


def test_another_tenant_than_the_typed_one_is_refused(
    browser: Browser, microsoft: Microsoft
) -> None:
    microsoft.claims = {
        "tid": OTHER_TENANT,
        "iss": f"https://login.microsoftonline.com/{OTHER_TENANT}/v2.0",
    }
    assert browser.problem(browser.connect()) == "wrong_tenant"
    assert nothing_is_saved()


def test_reply_without_id_token_is_refused(browser: Browser, microsoft: Microsoft) -> None:
    microsoft.omit = {"id_token"}
    assert browser.problem(browser.connect()) == "id_token_invalid"
    assert nothing_is_saved()


def test_invalid_id_token_is_refused(browser: Browser, microsoft: Microsoft) -> None:
    microsoft.claims = {"aud": "another-application"}
    assert browser.problem(browser.connect()) == "id_token_invalid"
    assert nothing_is_saved()


def test_graph_that_shows_another_account_is_refused(
    browser: Browser, microsoft: Microsoft
) -> None:
    microsoft.me = {"id": "someone-else"}
    assert browser.problem(browser.connect()) == "account_mismatch"
    assert nothing_is_saved()


@pytest.mark.parametrize(
    ("status", "body", "problem", "calls"),
    [
        (401, {"error": {"code": "InvalidAuthenticationToken"}}, "graph_refused", 1),
        (403, {"error": {"code": "Authorization_RequestDenied"}}, "graph_refused", 1),
        (400, {"error": "flat"}, "graph_refused", 1),
        (400, {"error": {"code": "not a word!"}}, "graph_refused", 1),
        (429, {"error": {"code": "TooManyRequests"}}, "throttled", 3),
        (503, "<html>", "microsoft_unavailable", 3),
        (200, "<html>", "microsoft_unavailable", 1),
    ],
)
def test_graph_that_fails_means_no_connection(
    browser: Browser,
    microsoft: Microsoft,
    status: int,
    body: Any,
    problem: str,
    calls: int,
) -> None:
    microsoft.fail("me", status, body)
    assert browser.problem(browser.connect()) == problem
    assert microsoft.count("me") == calls
    assert nothing_is_saved()


@pytest.mark.parametrize(
    "answer",
    [
        {"value": ["x"]},
        {"value": [None]},
        {"value": "x"},
        {},
        {"value": [{"verifiedDomains": 5, "displayName": None}]},
        {"value": [{"verifiedDomains": ["x", {"isDefault": True}]}]},
    ],
)
def test_odd_directory_costs_its_name_only(
    browser: Browser, microsoft: Microsoft, answer: Any
) -> None:
    microsoft.organization = answer
    browser.connect()
    made = AppConnection.objects.get()
    assert (made.tenant_name, made.tenant_domain, made.status) == ("", "", "ready")


def test_names_are_kept_without_what_no_name_holds(browser: Browser, microsoft: Microsoft) -> None:
    microsoft.claims = {"name": "Ada\x00 \u202eAdmin\ud800", "preferred_username": ["x"]}
    microsoft.organization = {"value": [{"displayName": "Con\x00toso" + "o" * 300}]}
    browser.connect()
    made = AppConnection.objects.get()
    assert made.account_name == "Ada Admin"
    assert made.account_username == "['x']"
    assert made.tenant_name.startswith("Contosoo")
    assert len(made.tenant_name) == 256


@pytest.mark.parametrize("codes", [[10**30], [-5], [0], [True], ["x"], {}, [2**40]])
def test_odd_error_codes_are_dropped(browser: Browser, microsoft: Microsoft, codes: Any) -> None:
    body = {"error": "invalid_grant", "error_codes": codes}
    microsoft.fail("token", 400, body)
    assert browser.problem(browser.connect()) == "code_rejected"
    assert Authorization.objects.get().aadsts in (None, 1)


def test_too_many_parameters_are_refused_quietly(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    browser.logout()
    query = "&".join(f"a{number}=1" for number in range(1100))
    url = reverse("infisical_azure:azure_oauth_callback")
    response = browser.get(f"{url}?{query}")
    assert browser.problem(response) == "state_unrecognised"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("code", ["nothing", "STATE_USED"])
def test_problem_that_does_not_exist_is_not_found(browser: Browser, code: str) -> None:
    assert (
        browser.get(reverse("infisical_azure:azure_oauth_problem", args=[code])).status_code == 404
    )


def test_host_that_follows_another_organization_is_not_believed(
    browser: Browser, microsoft: Microsoft, settings: Any
) -> None:
    sent = browser.begin().sent
    settings.INFISICAL_AZURE = {
        **settings.INFISICAL_AZURE,
        "HOST": "tests.test_refusals.ForgetfulHost",
    }
    ForgetfulHost.current = make_organization("Current")
    assert browser.problem(browser.come_back(sent)) == "permission_lost"
    assert microsoft.count("token") == 0


class ForgetfulHost(Host):
    """A host that answers with a current organization instead of the asked one."""

    current: Model

    def get_organization(self, request: Any, key: str) -> Model:
        return self.current

    def has_permission(
        self, user: Any, permission: str, organization: Model, connection: Any
    ) -> bool:
        return True


def test_directory_name_is_optional(browser: Browser, microsoft: Microsoft) -> None:
    microsoft.fail("organization", 403, {"error": {"code": "Authorization_RequestDenied"}})
    browser.connect()
    made = AppConnection.objects.get()
    assert (made.tenant_name, made.tenant_domain, made.status) == ("", "", "ready")


# What is granted may be less than what was asked


@pytest.mark.parametrize(
    ("token", "omit", "missing"),
    [
        ({}, {"refresh_token"}, ["offline_access"]),
        (
            {"scope": "openid profile https://graph.microsoft.com/User.Read"},
            set(),
            ["Application.ReadWrite.All", "Directory.ReadWrite.All"],
        ),
        (
            {},
            {"scope"},
            ["User.Read", "Application.ReadWrite.All", "Directory.ReadWrite.All"],
        ),
    ],
)
def test_narrow_grant_is_kept_and_labelled_with_what_is_missing(
    browser: Browser,
    microsoft: Microsoft,
    token: dict[str, str],
    omit: set[str],
    missing: list[str],
) -> None:
    microsoft.token, microsoft.omit = token, omit
    response = browser.connect()
    made = AppConnection.objects.get()
    assert made.status == AppConnection.Status.PERMISSION_MISSING
    assert [permission.name for permission in made.missing_permissions] == missing
    page = browser.get(response["Location"]).content.decode()
    assert "a permission is missing" in page
    assert "Permission missing" in page
    detail = browser.get(browser.url("connection_detail", made.pk)).content.decode()
    for name in missing:
        assert f"<code>{name}</code>" in page
        assert f"<code>{name}</code> is missing: needed to" in detail
    assert ("adminconsent" in detail) is any(name.endswith(".All") for name in missing)


def test_graph_may_refuse_what_was_not_granted(browser: Browser, microsoft: Microsoft) -> None:
    microsoft.token = {"scope": "openid profile"}
    microsoft.fail("me", 403, {"error": {"code": "Authorization_RequestDenied"}})
    browser.connect()
    made = AppConnection.objects.get()
    assert made.status == AppConnection.Status.PERMISSION_MISSING
    assert made.tenant_name == ""


# Whose answer it is


@pytest.mark.parametrize(
    "answer",
    [
        {"state": None},
        {"state": ""},
        {"state": "unknown"},
        {"code": ["one", "two"]},
        {"code": "x" * 8193},
        {"code": "line\nbreak"},
        {"code": "ünïcode"},
    ],
)
def test_answer_without_its_own_state_is_refused_directly(
    browser: Browser, microsoft: Microsoft, answer: dict[str, Any]
) -> None:
    response = browser.come_back(browser.begin().sent, **answer)
    assert browser.problem(response) == "state_unrecognised"
    assert browser.get(response["Location"]).status_code == 400
    assert microsoft.count("token") == 0
    assert nothing_is_saved()


def test_repeated_state_is_refused(browser: Browser, microsoft: Microsoft) -> None:
    sent = browser.begin().sent
    response = browser.come_back(sent, state=[sent["state"], sent["state"]])
    assert browser.problem(response) == "state_unrecognised"
    assert microsoft.count("token") == 0


def test_expired_state_is_refused(browser: Browser, microsoft: Microsoft) -> None:
    sent = browser.begin().sent
    with time_machine.travel(timezone.now() + timedelta(minutes=10, seconds=1)):
        response = browser.come_back(sent)
        assert browser.problem(response) == "state_expired"
        page = browser.get(response["Location"]).content.decode()
        (again,) = re.findall(r'href="([^"]*again=[^"]*)"', page)
        assert 'value="production"' in browser.get(again).content.decode()
        assert browser.problem(browser.come_back(sent)) == "state_used"
    assert microsoft.count("token") == 0


def test_replayed_state_is_rejected(browser: Browser, microsoft: Microsoft) -> None:
    sent = browser.begin().sent
    browser.come_back(sent)
    response = browser.come_back(sent)
    assert browser.problem(response) == "state_used"
    page = browser.get(response["Location"]).content.decode()
    assert f'href="{browser.url("connection_list")}"' in page
    assert microsoft.count("token") == 1
    assert AppConnection.objects.count() == 1


def test_state_is_spent_by_a_failure_too(browser: Browser, microsoft: Microsoft) -> None:
    sent = browser.begin().sent
    browser.come_back(sent, error="access_denied")
    assert browser.problem(browser.come_back(sent)) == "state_used"
    assert microsoft.count("token") == 0


def test_another_browser_of_the_same_person_is_refused(
    browser: Browser, microsoft: Microsoft
) -> None:
    sent = browser.begin().sent
    other = Browser(browser.user, browser.organization, microsoft)
    assert other.problem(other.come_back(sent)) == "state_unrecognised"
    other.begin(name="another")
    assert other.problem(other.come_back(sent)) == "state_unrecognised"
    assert microsoft.count("token") == 0
    assert browser.come_back(sent).status_code == 303


def test_another_person_in_the_same_browser_is_refused(
    browser: Browser, microsoft: Microsoft, organization: Model
) -> None:
    other = User.objects.create_user("eve", "eve@site.example")
    add_member(organization, other)
    sent = browser.begin().sent
    session = dict(browser.session.items())
    browser.force_login(other)
    store = browser.session
    store["infisical_azure_browser"] = session["infisical_azure_browser"]
    store.save()
    assert browser.problem(browser.come_back(sent)) == "state_unrecognised"
    assert microsoft.count("token") == 0
    assert nothing_is_saved()


def test_another_organization_can_not_be_slipped_in(browser: Browser, microsoft: Microsoft) -> None:
    elsewhere = make_organization("Northwind Traders")
    add_member(elsewhere, browser.user)
    sent = browser.begin().sent
    mine, browser.organization = browser.organization, elsewhere
    browser.get(browser.url("connection_list"))
    browser.come_back(sent, organization=str(elsewhere.pk))
    assert AppConnection.objects.get().organization == mine


def test_signed_out_person_is_not_sent_to_log_in_with_the_code(
    browser: Browser, microsoft: Microsoft
) -> None:
    sent = browser.begin().sent
    browser.logout()
    response = browser.come_back(sent)
    assert browser.problem(response) == "signed_out"
    response = browser.get(response["Location"])
    assert response.status_code == 403
    assert 'href="/login/"' in response.content.decode()
    assert microsoft.count("token") == 0


def test_permission_lost_at_microsoft_is_refused(browser: Browser, microsoft: Microsoft) -> None:
    sent = browser.begin().sent
    remove_member(browser.organization, browser.user)
    add_member(browser.organization, browser.user, "view")
    response = browser.come_back(sent)
    assert browser.problem(response) == "permission_lost"
    assert browser.get(response["Location"]).status_code == 403
    assert microsoft.count("token") == 0


def test_membership_lost_at_microsoft_is_refused(browser: Browser, microsoft: Microsoft) -> None:
    sent = browser.begin().sent
    remove_member(browser.organization, browser.user)
    response = browser.come_back(sent)
    assert browser.problem(response) == "permission_lost"
    assert browser.get(response["Location"]).status_code == 403
    assert microsoft.count("token") == 0


def test_name_taken_before_the_code_is_spent(browser: Browser, microsoft: Microsoft) -> None:
    first, second = browser.begin().sent, browser.begin().sent
    microsoft.nonce = first["nonce"]
    browser.come_back(first)
    assert browser.problem(browser.come_back(second)) == "name_taken"
    assert microsoft.count("token") == 1


def test_name_in_another_organization_is_not_taken(browser: Browser, admin_user: User) -> None:
    elsewhere = make_organization("Wingtip Toys")
    add_member(elsewhere, admin_user)
    Browser(admin_user, elsewhere, browser.microsoft).connect()
    assert browser.connect()["Location"].startswith(browser.url("connection_list"))
    assert list(AppConnection.objects.values_list("name", flat=True)) == ["production"] * 2


def test_name_taken_while_the_code_is_redeemed(browser: Browser, microsoft: Microsoft) -> None:
    sent = browser.begin().sent

    def take_name(claims: dict[str, Any]) -> str:
        AppConnection.objects.create(
            organization=browser.organization,
            name="production",
            tenant_id=TENANT,
            account_object_id=TENANT,
        )
        return microsoft.rs256(claims)

    microsoft.sign = take_name
    assert browser.problem(browser.come_back(sent)) == "name_taken"
    assert AppConnection.objects.count() == 1
    assert not AccessToken.objects.exists()


def test_cloud_disabled_meanwhile_is_refused(browser: Browser, settings: Any) -> None:
    sent = browser.begin().sent
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "CLOUDS": ["china"]}
    response = browser.come_back(sent)
    assert browser.problem(response) == "operator_setup"


# When this site itself fails


class Failing:
    """Let the database fail on statements that begin like this."""

    def __init__(self, *beginnings: str, error: type[Exception] = OperationalError) -> None:
        self.beginnings, self.error = beginnings, error
        self.text = "the server closed the connection: CANARY"

    def __call__(self, execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith(self.beginnings):
            raise self.error(self.text)
        return execute(sql, *args)


def test_database_that_fails_after_the_exchange_leaves_no_half_connection(
    browser: Browser, microsoft: Microsoft, caplog: pytest.LogCaptureFixture
) -> None:
    sent = browser.begin().sent
    with connection.execute_wrapper(Failing('INSERT INTO "infisical_azure_accesstoken"')):
        response = browser.come_back(sent)
    assert browser.problem(response) == "storage_failed"
    assert nothing_is_saved()
    assert "CANARY" not in caplog.text
    assert "storage_failed" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_database_that_stays_down_is_explained_without_it(
    browser: Browser, microsoft: Microsoft
) -> None:
    sent = browser.begin().sent
    down = Failing("INSERT", 'UPDATE "infisical_azure_authorization" SET "problem"')
    with connection.execute_wrapper(down):
        response = browser.come_back(sent)
    assert response.status_code == 503
    assert "database failed" in response.content.decode()
    assert nothing_is_saved()


def test_unforeseen_error_is_explained_and_logged_without_its_text(
    browser: Browser, microsoft: Microsoft, caplog: pytest.LogCaptureFixture
) -> None:
    sent = browser.begin().sent
    with connection.execute_wrapper(
        Failing('INSERT INTO "infisical_azure_appconnection"', error=ZeroDivisionError)
    ):
        response = browser.come_back(sent)
    assert browser.problem(response) == "unexpected"
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "ZeroDivisionError" in record.message
    assert "flow.py" in record.message
    assert "CANARY" not in caplog.text
    assert nothing_is_saved()


# What the person sees


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_problem_page_says_who_must_act_and_what_to_do(browser: Browser, code: str) -> None:
    browser.begin(description="Typed once")
    authorization = Authorization.objects.get()
    authorization.note_problem(code, None)
    problem = CATALOGUE[code]
    response = browser.get(browser.url("problem", authorization.pk))
    page = response.content.decode()
    assert response.status_code == 200
    for text in (problem.title, problem.what, problem.actor.value, problem.next_step):
        assert str(text).split("'")[0] in page
    assert f"?again={authorization.pk}" in page
    assert ("/v2.0/adminconsent?" in page) is problem.admin_consent


def test_problem_of_an_older_release_is_still_shown(browser: Browser) -> None:
    browser.begin()
    authorization = Authorization.objects.get()
    authorization.note_problem("no-longer-known", None)
    assert browser.get(browser.url("problem", authorization.pk)).status_code == 200


def test_try_again_has_the_form_filled_in(browser: Browser) -> None:
    response = browser.come_back(
        browser.begin(description="Typed once").sent, error="access_denied"
    )
    page = browser.get(response["Location"]).content.decode()
    (again,) = [part.split('"')[0] for part in page.split('href="') if "?again=" in part]
    form = browser.get(again).context["form"]
    assert form.initial == {
        "name": "production",
        "description": "Typed once",
        "tenant": TENANT,
        "cloud_name": "public",
    }


@pytest.mark.parametrize("again", ["", "nonsense", "00000000-0000-0000-0000-000000000000"])
def test_try_again_of_nothing_is_an_empty_form(browser: Browser, again: str) -> None:
    response = browser.get(browser.url("azure_connection_add"), {"again": again})
    assert response.context["form"].initial == {}


def test_problem_is_shown_to_its_own_person_only(
    browser: Browser, microsoft: Microsoft, organization: Model
) -> None:
    response = browser.come_back(browser.begin().sent, error="access_denied")
    colleague = User.objects.create_user("eve", "eve@site.example")
    add_member(organization, colleague)
    other = Browser(colleague, organization, microsoft)
    assert other.get(response["Location"]).status_code == 404


def test_callback_answers_are_not_stored_and_send_no_referrer(browser: Browser) -> None:
    for response in (browser.connect(), browser.come_back({"state": "x"})):
        assert "no-store" in response["Cache-Control"]
        assert response["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("method", ["post", "put", "delete", "head"])
def test_callback_takes_get_only(browser: Browser, method: str) -> None:
    url = reverse("infisical_azure:azure_oauth_callback")
    assert getattr(browser, method)(url).status_code == 405


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ({"admin_consent": "True", "tenant": TENANT}, 200, "Thank you for your approval"),
        (
            {"admin_consent": "True", "error": "consent_required"},
            400,
            "The approval was not given",
        ),
    ],
)
def test_approving_administrator_is_thanked_though_a_stranger(
    browser: Browser, query: dict[str, str], status: int, text: str
) -> None:
    browser.logout()
    response = browser.get(reverse("infisical_azure:azure_oauth_callback"), query, follow=True)
    assert response.status_code == status
    assert text in response.content.decode()
