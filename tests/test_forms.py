"""What may be typed, checked before anybody is sent to Microsoft."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
import requests
from django.db.models import Model

from infisical_azure.forms import AzureConnectionForm, ConnectionDetailsForm
from infisical_azure.models import AppConnection

from .hostapp.host import make_organization
from .microsoft import OTHER_CLOUDS, TENANT, Microsoft, error

pytestmark = pytest.mark.django_db


def azure_form(organization: Model, **data: str) -> AzureConnectionForm:
    data = {"name": "production", "tenant": TENANT, "method": "oauth", **data}
    return AzureConnectionForm(data, organization=organization)


def add(organization: Model, name: str) -> AppConnection:
    return AppConnection.objects.create(
        organization=organization, name=name, tenant_id=TENANT, account_object_id=TENANT
    )


@pytest.mark.parametrize("name", ["a", "1", "production", "prod-2", "a" * 64])
def test_slug_is_a_good_name(organization: Model, microsoft: Microsoft, name: str) -> None:
    assert azure_form(organization, name=name).is_valid()


@pytest.mark.parametrize(
    "name",
    ["", "Production", "my connection", "under_score", "-a", "a-", "a--b", "ä", "a" * 65, "a\nb"],
)
def test_other_names_are_refused(organization: Model, microsoft: Microsoft, name: str) -> None:
    assert set(azure_form(organization, name=name).errors) == {"name"}
    assert microsoft.requests == []


def test_name_is_unique_in_its_organization_only(organization: Model, microsoft: Microsoft) -> None:
    add(organization, "production")
    form = azure_form(organization)
    assert form.errors == {
        "name": ["This organization already has a connection named “production”."]
    }
    assert azure_form(make_organization("Elsewhere")).is_valid()


def test_connection_may_keep_its_own_name(organization: Model) -> None:
    connection, _other = add(organization, "production"), add(organization, "staging")
    kept = ConnectionDetailsForm(
        {"name": "production"}, instance=connection, organization=organization
    )
    taken = ConnectionDetailsForm(
        {"name": "staging"}, instance=connection, organization=organization
    )
    assert kept.is_valid()
    assert set(taken.errors) == {"name"}


def test_description_is_optional_and_bounded(organization: Model, microsoft: Microsoft) -> None:
    assert azure_form(organization, description="d" * 256).is_valid()
    form = azure_form(organization, description="d" * 257)
    assert form.errors == {"description": ["Use at most 256 characters."]}


@pytest.mark.parametrize(
    "typed",
    [
        TENANT,
        TENANT.upper(),
        f"  {TENANT}\t",
        f"{TENANT[:10]} {TENANT[10:]}",
        f"{{{TENANT}}}",
        f'"{TENANT}"',
        f"\u200b{TENANT}\ufeff",
        f"\u00a0{TENANT}",
        "contoso.com",
        " Contoso.COM ",
    ],
)
def test_pasted_tenant_is_understood(organization: Model, microsoft: Microsoft, typed: str) -> None:
    form = azure_form(organization, tenant=typed)
    assert form.is_valid(), form.errors
    assert form.wanted.tenant_id == UUID(TENANT)


@pytest.mark.parametrize(
    "typed",
    [
        "", "common", "organizations", "consumers", TENANT[:-1], TENANT.replace("-", ""),
        f"{TENANT}/x", "../evil", "a..b", "-a.com", "contoso.com/", "contoso.com?x=1", "127.0.0.1",
        "https://contoso.com", "user@contoso.com", "contoso.com:443", "a" * 254 + ".com", "é.com",
    ],
)  # fmt: skip
def test_what_is_no_tenant_is_refused_unasked(
    organization: Model, microsoft: Microsoft, typed: str
) -> None:
    assert set(azure_form(organization, tenant=typed).errors) == {"tenant"}
    assert microsoft.requests == []


def test_tenant_that_discovery_does_not_know_is_refused(
    organization: Model, microsoft: Microsoft
) -> None:
    microsoft.fail("discovery", 400, error(90002, "invalid_tenant"))
    form = azure_form(organization, tenant="nobody.example")
    assert "Azure knows no directory “nobody.example”" in form.errors["tenant"][0]


@pytest.mark.parametrize("body", [requests.ConnectTimeout(), "<html>"], ids=["dead", "html"])
def test_discovery_out_of_reach_blocks_domains_but_no_guid(
    organization: Model, microsoft: Microsoft, body: Any
) -> None:
    microsoft.fail("discovery", 503, body)
    form = azure_form(organization)
    assert form.is_valid()
    assert form.wanted.tenant_id == UUID(TENANT)
    form = azure_form(organization, tenant="contoso.com")
    assert "Microsoft can't be reached" in form.errors["tenant"][0]


def test_cloud_is_asked_for_only_when_there_are_several(
    organization: Model, microsoft: Microsoft, settings: Any
) -> None:
    assert "cloud_name" not in azure_form(organization).fields
    settings.INFISICAL_AZURE = {
        **settings.INFISICAL_AZURE,
        "CLOUDS": ["china", "public"],
    }
    form = azure_form(organization, cloud_name="public")
    assert form.fields["cloud_name"].choices == [  # type: ignore[attr-defined]
        ("china", "Azure China (21Vianet)"),
        ("public", "Azure"),
    ]
    assert form.is_valid()
    assert form.wanted.cloud.name == "public"
    assert set(azure_form(organization, cloud_name="us-government").errors) == {"cloud_name"}


def test_method_is_oauth(organization: Model, microsoft: Microsoft) -> None:
    assert set(azure_form(organization, method="client-secret").errors) == {"method"}


@pytest.mark.parametrize(
    ("clouds", "advice"),
    [
        (["public"], "The operator of this site must enable that cloud first."),
        (["public", "us-government"], "Choose that cloud."),
    ],
)
def test_tenant_of_another_cloud_is_recognised_and_named(
    organization: Model, microsoft: Microsoft, settings: Any, clouds: list[str], advice: str
) -> None:
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "CLOUDS": clouds}
    microsoft.fail("discovery", 400, error(90002, "invalid_tenant"))
    url = f"https://login.microsoftonline.us/{TENANT}/v2.0/.well-known/openid-configuration"
    found = {"issuer": f"https://login.microsoftonline.us/{TENANT}/v2.0"}
    microsoft.mock.remove("GET", OTHER_CLOUDS[0])
    microsoft.mock.get(url, json=found)
    form = azure_form(organization, cloud_name="public")
    assert form.errors == {"tenant": [f"This directory is in Azure US Government. {advice}"]}


def test_cloud_of_the_hosts_own_is_not_compared_with_microsofts(
    organization: Model, microsoft: Microsoft, settings: Any
) -> None:
    settings.INFISICAL_AZURE = {
        **settings.INFISICAL_AZURE,
        "CLOUDS": ["tests.test_conf.SOVEREIGN"],
    }
    microsoft.fail("discovery", 400, error(90002, "invalid_tenant"))
    form = azure_form(organization)
    assert "Sovereign knows no directory" in form.errors["tenant"][0]
    assert {call.request.url.split("/")[2] for call in microsoft.mock.calls} == {
        "login.microsoftonline.com"
    }
