"""The fault matrix, rows "Connect", against the stand-in over real HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import connection as database
from django.db.models import Model

from example_project.standin.client import StandIn, StandInPage
from infisical_azure.models import AccessToken, AppConnection, RefreshToken

from ..conftest import Browser

CONTOSO = "5f3c1e0a-7b1d-4c55-9d0e-2a6c8f4b1c01"


@pytest.fixture
def person(admin_user: User, organization: Model, standin: StandIn) -> Browser:
    return Browser(admin_user, organization)


def walk(person: Browser, standin: StandIn, account: str = "ada@contoso.com", **how: Any) -> Any:
    """Go to Microsoft and come back; return the site's answer."""
    begun = person.begin(tenant=how.pop("tenant", CONTOSO), name=how.pop("name", "production"))
    location = standin.authorize(begun.location, account, **how)
    split = urlsplit(location)
    return person.get(f"{split.path}?{split.query}")


def nothing_is_saved() -> bool:
    models = (AppConnection, AccessToken, RefreshToken)
    return not any(model.objects.exists() for model in models)  # type: ignore[attr-defined]


@pytest.mark.django_db
@pytest.mark.parametrize("tenant", [CONTOSO, "contoso.com", "contoso.onmicrosoft.com"])
def test_whole_round_trip(person: Browser, standin: StandIn, tenant: str) -> None:
    response = walk(person, standin, tenant=tenant)
    assert response.status_code == 303
    made = AppConnection.objects.get()
    assert made.status == AppConnection.Status.READY, made.missing_permissions
    assert (str(made.tenant_id), made.tenant_name) == (CONTOSO, "Contoso")
    assert made.account_username == "ada@contoso.com"


@pytest.mark.django_db
def test_tenant_that_nobody_knows_is_refused_in_the_form(person: Browser, standin: StandIn) -> None:
    for tenant in ("nobody.example", "00000000-0000-4000-8000-000000000000"):
        assert "knows no directory" in person.begin(tenant=tenant).content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("decision", "problem"), [("cancel", "cancelled"), ("decline", "consent_declined")]
)
def test_person_who_says_no(person: Browser, standin: StandIn, decision: str, problem: str) -> None:
    assert person.problem(walk(person, standin, decision=decision)) == problem
    assert nothing_is_saved()


@pytest.mark.django_db
def test_person_who_needs_an_administrator(person: Browser, standin: StandIn) -> None:
    with pytest.raises(StandInPage) as caught:
        walk(person, standin, "max@contoso.com")
    assert caught.value.code == 90094
    standin.grant_consent(CONTOSO)
    walk(person, standin, "max@contoso.com", name="second")
    assert AppConnection.objects.get().account_username == "max@contoso.com"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("invalid_client_secret", "client_secret_wrong"),
        ("secret_id_used", "client_secret_wrong"),
        ("secret_expired", "client_secret_expired"),
        ("app_missing", "application_missing"),
        ("redirect_mismatch", "redirect_uri_mismatch"),
        ("tenant_missing", "tenant_unknown"),
        ("consent_required", "admin_approval_needed"),
        ("mfa", "interaction_needed"),
        ("ca_block", "blocked_by_policy"),
        ("resource_missing", "operator_setup"),
        ("bad_scope", "operator_setup"),
        ("throttled", "throttled"),
        ("throttled_without_retry_after", "throttled"),
        ("unavailable", "microsoft_unavailable"),
        ("html", "microsoft_unavailable"),
        ("html_200", "microsoft_unavailable"),
        ("empty", "microsoft_unavailable"),
        ("huge", "microsoft_unavailable"),
        ("slow", "microsoft_unavailable"),
        ("drip", "microsoft_unavailable"),
        ("redirect", "microsoft_unavailable"),
        ("truncated", "microsoft_unavailable"),
        ("reset", "microsoft_unavailable"),
        ("token_type_missing", "microsoft_unavailable"),
        ("access_token_missing", "microsoft_unavailable"),
        ("no_id_token", "id_token_invalid"),
        ("wrong_tenant", "wrong_tenant"),
        ("wrong_nonce", "id_token_invalid"),
        ("wrong_audience", "id_token_invalid"),
        ("wrong_issuer", "id_token_invalid"),
        ("wrong_signature", "id_token_invalid"),
        ("alg_none", "id_token_invalid"),
        ("alg_hs256", "id_token_invalid"),
        ("expired_id_token", "id_token_invalid"),
        ("future_id_token", "id_token_invalid"),
        ("missing_sub", "id_token_invalid"),
        ("missing_oid", "id_token_invalid"),
        ("missing_tid", "id_token_invalid"),
        ("unknown_kid", "id_token_invalid"),
        ("other_at_hash", "id_token_invalid"),
    ],
)
def test_token_endpoint_fault(person: Browser, standin: StandIn, fault: str, problem: str) -> None:
    standin.fault(fault)
    response = walk(person, standin)
    assert person.problem(response) == problem
    assert len(standin.token_requests()) == 1
    assert nothing_is_saved()
    assert not any(entry["path"].startswith("/elsewhere") for entry in standin.journal())


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("jwks_unavailable", "microsoft_unavailable"),
        ("jwks_html_200", "microsoft_unavailable"),
        ("jwks_huge", "microsoft_unavailable"),
        ("jwks_redirect", "microsoft_unavailable"),
        ("graph_unavailable", "microsoft_unavailable"),
        ("graph_html_200", "microsoft_unavailable"),
        ("graph_huge", "microsoft_unavailable"),
        ("graph_reset", "microsoft_unavailable"),
        ("graph_throttled", "throttled"),
        ("graph_unauthorized", "graph_refused"),
        ("graph_forbidden", "graph_refused"),
        ("graph_me_other_user", "account_mismatch"),
    ],
)
def test_keys_and_graph_fault(person: Browser, standin: StandIn, fault: str, problem: str) -> None:
    standin.fault(fault, times=None)
    assert person.problem(walk(person, standin)) == problem
    assert nothing_is_saved()


@pytest.mark.django_db
@pytest.mark.parametrize("fault", ["jwks_unavailable", "graph_unavailable", "graph_reset"])
def test_passing_fault_of_a_read_is_not_noticed(
    person: Browser, standin: StandIn, fault: str
) -> None:
    standin.fault(fault, times=1)
    assert walk(person, standin).status_code == 303
    assert AppConnection.objects.get().status == AppConnection.Status.READY


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fault", "missing"),
    [
        ("no_refresh_token", ["offline_access"]),
        ("narrow_scope", ["Application.ReadWrite.All", "Directory.ReadWrite.All"]),
        ("without_user_read", ["User.Read"]),
    ],
)
def test_narrow_grant_is_labelled(
    person: Browser, standin: StandIn, fault: str, missing: list[str]
) -> None:
    standin.fault(fault)
    walk(person, standin)
    made = AppConnection.objects.get()
    assert [permission.name for permission in made.missing_permissions] == missing
    assert made.status == AppConnection.Status.PERMISSION_MISSING


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("authorize_server_error", "microsoft_unavailable"),
        ("authorize_temporarily_unavailable", "microsoft_unavailable"),
        ("authorize_declined", "consent_declined"),
        ("authorize_cancelled", "cancelled"),
        ("authorize_consent_required", "admin_approval_needed"),
        ("authorize_interaction_required", "interaction_needed"),
        ("authorize_login_required", "interaction_needed"),
        ("authorize_admin_approval", "admin_approval_needed"),
        ("iss_wrong", "wrong_tenant"),
        ("code_missing", "refused"),
        ("code_duplicated", "state_unrecognised"),
        ("code_too_long", "state_unrecognised"),
        ("state_missing", "state_unrecognised"),
        ("state_altered", "state_unrecognised"),
        ("error_and_code", "consent_declined"),
        ("code_invented", "code_rejected"),
    ],
)
def test_authorize_fault(person: Browser, standin: StandIn, fault: str, problem: str) -> None:
    standin.fault(fault)
    assert person.problem(walk(person, standin)) == problem
    assert len(standin.token_requests()) == (fault == "code_invented")
    assert nothing_is_saved()


@pytest.mark.django_db
def test_wrong_client_secret_is_refused_as_strictly_as_by_entra(
    person: Browser, standin: StandIn, settings: Any
) -> None:
    settings.INF_APP_CONNECTION_AZURE_CLIENT_SECRET = "another~secret"
    assert person.problem(walk(person, standin)) == "client_secret_wrong"


@pytest.mark.django_db
def test_other_site_url_stays_on_microsofts_page(
    person: Browser, standin: StandIn, settings: Any
) -> None:
    settings.SITE_URL = "https://other.example"
    with pytest.raises(StandInPage) as caught:
        walk(person, standin)
    assert caught.value.code == 50011


@pytest.mark.django_db
def test_keys_rotated_between_two_connections(person: Browser, standin: StandIn) -> None:
    walk(person, standin)
    standin.rotate_keys(drop_old=True)
    walk(person, standin, name="second")
    assert AppConnection.objects.count() == 2


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_one_state_from_32_threads_in_4_processes_is_redeemed_once(
    person: Browser, standin: StandIn
) -> None:
    begun = person.begin(tenant=CONTOSO)
    location = urlsplit(standin.authorize(begun.location))
    session = person.cookies[django_settings.SESSION_COOKIE_NAME].value
    command = [sys.executable, "-m", "tests.faults.callers"]
    command += [f"{location.path}?{location.query}", session, "8"]
    parameters = database.settings_dict
    url = "postgres://{USER}@{HOST}:{PORT}/{NAME}".format(**parameters)
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "TEST_CLOUDS": "tests.faults.cloud.STANDIN",
    }
    callers = [
        subprocess.Popen(
            command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(4)
    ]
    for caller in callers:
        assert caller.stdout
        assert caller.stdout.readline() == "ready\n"
    answers: list[tuple[int, str]] = []
    for caller in callers:
        assert caller.stdin
        caller.stdin.write("go\n")
        caller.stdin.flush()
    for caller in callers:
        out, _ = caller.communicate(timeout=60)
        answers += json.loads(out)

    assert len(answers) == 32
    refused = "/organization/app-connections/azure/oauth/problems/state_used"
    places = Counter(place.partition("?")[0] for _, place in answers)
    assert places == {person.url("connection_list"): 1, refused: 31}
    assert len(standin.token_requests()) == 1
    assert AppConnection.objects.count() == 1
    assert {status for status, _ in answers} == {303}
    (welcome,) = [place for _, place in answers if "?" in place]
    assert parse_qs(urlsplit(welcome).query) == {"connected": [str(AppConnection.objects.get().pk)]}
