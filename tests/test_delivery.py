"""What is sent to each kind of destination, to the last field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from infisical_azure import delivery
from infisical_azure.exceptions import DeliveryError
from infisical_azure.models import AppConnection, Destination, RotatedSecret, Rotation
from infisical_azure.secret import Secret

from .microsoft import APPLICATION_CLIENT_ID, TENANT, Microsoft
from .rotations import DAY, Azure, advance, refer, states, taken

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("hooks")]
VALUE = Secret("CANARY~the-value")


@pytest.fixture
def issued(rotation: Rotation) -> RotatedSecret:
    begun = rotation.created_at
    made: RotatedSecret = rotation.secrets.create(
        key_id="bbbbbbbb-1111-4bbb-8bbb-bbbbbbbbbbbb", expires_at=begun + 90 * DAY
    )
    return made


def only(microsoft: Microsoft, kind: str) -> Any:
    (request,) = [request for found, request in microsoft.requests if found == kind]
    return request


def tags(issued: RotatedSecret) -> dict[str, str]:
    return {
        "infisical-azure-rotation": str(issued.id),
        "application-id": APPLICATION_CLIENT_ID,
        "key-id": str(issued.key_id),
    }


def test_vault_gets_the_value_its_end_and_where_it_is_from(
    rotation: Rotation, issued: RotatedSecret, microsoft: Microsoft
) -> None:
    microsoft.vault = {"value": "older", "tags": {"infisical-azure-rotation": "another"}}
    delivery.deliver(rotation.destinations.get(), issued, VALUE)
    put = only(microsoft, "vault_set")
    assert put.url == "https://team.vault.azure.net/secrets/hr-secret?api-version=7.4"
    assert put.headers["Authorization"].startswith("Bearer CANARY-access-token")
    assert issued.expires_at is not None
    assert json.loads(put.body) == {
        "value": "CANARY~the-value",
        "tags": tags(issued),
        "attributes": {"exp": int(issued.expires_at.timestamp())},
    }
    token = only(microsoft, "token")
    assert "vault.azure.net" in token.body


def test_vault_that_has_it_gets_no_second_version(
    rotation: Rotation, issued: RotatedSecret, microsoft: Microsoft
) -> None:
    microsoft.vault = {"value": "it", "tags": {"infisical-azure-rotation": str(issued.id)}}
    delivery.deliver(rotation.destinations.get(), issued, VALUE)
    assert microsoft.count("vault_set") == 0


def test_store_gets_the_value_under_its_label(
    rotation: Rotation, issued: RotatedSecret, microsoft: Microsoft
) -> None:
    destination = rotation.destinations.create(
        kind="app-configuration", place="team-store", name="hr/secret", label="live"
    )
    delivery.deliver(destination, issued, VALUE)
    put = only(microsoft, "store_set")
    assert (
        put.url == "https://team-store.azconfig.io/kv/hr%2Fsecret?api-version=2023-11-01&label=live"
    )
    assert json.loads(put.body) == {"value": "CANARY~the-value", "tags": tags(issued)}
    assert "appconfig.azure.com" in only(microsoft, "token").body


def test_reference_holds_an_address_and_no_value(
    rotation: Rotation, issued: RotatedSecret, microsoft: Microsoft
) -> None:
    delivery.deliver(refer(rotation), issued, VALUE)
    put = only(microsoft, "store_set")
    body = json.loads(put.body)
    assert json.loads(body.pop("value")) == {
        "uri": "https://team.vault.azure.net/secrets/hr-secret"
    }
    assert body == {
        "content_type": "application/vnd.microsoft.appconfig.keyvaultref+json;charset=utf-8",
        "tags": tags(issued),
    }
    assert put.url.endswith("label=production")
    assert b"CANARY~the-value" not in put.body


@pytest.mark.parametrize("wrong", ["nothing", "no vault", "another rotation's"])
def test_reference_to_what_is_no_secret_of_this_rotation_is_not_written(
    rotation: Rotation, issued: RotatedSecret, microsoft: Microsoft, wrong: str
) -> None:
    target = rotation.destinations.get()
    reference = refer(rotation)
    if wrong == "nothing":
        reference.refers_to = None
    elif wrong == "no vault":
        target.kind = "app-configuration"
    else:
        other = Rotation.objects.get()
        other.pk = Rotation._meta.pk.get_default()
        other.application_id = other.pk
        other.save(force_insert=True)
        target.rotation = other
    target.save()
    if wrong != "nothing":
        reference.refers_to = target
    with pytest.raises(DeliveryError, match="refers to nothing"):
        delivery.deliver(reference, issued, VALUE)
    assert microsoft.count("store_set") == 0


def test_hook_is_told_all_and_again_under_the_same_id(
    rotation: Rotation, issued: RotatedSecret
) -> None:
    taken.clear()
    destination = rotation.destinations.create(kind="hook", place="vaulty", name="job runner")
    for _ in range(2):
        delivery.deliver(destination, issued, VALUE)
    assert taken[0] == taken[1]
    told = taken[0]
    assert (told.id, told.key_id, told.expires_at) == (issued.id, issued.key_id, issued.expires_at)
    assert told.organization == rotation.connection.organization
    assert (str(told.app_id), str(told.tenant_id)) == (APPLICATION_CLIENT_ID, TENANT)
    assert (told.name, told.value) == ("job runner", VALUE)


def test_failing_hook_leads_to_no_frame_that_holds_the_value(
    rotation: Rotation, issued: RotatedSecret
) -> None:
    destination = rotation.destinations.create(kind="hook", place="vaulty", name="broken")
    with pytest.raises(DeliveryError, match="'vaulty' raised RuntimeError") as caught:
        delivery.deliver(destination, issued, VALUE)
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None


def run_out_of_time(told: delivery.Delivery) -> None:
    raise SoftTimeLimitExceeded


def test_time_limit_within_a_hook_is_the_tasks_to_handle(
    rotation: Rotation, issued: RotatedSecret, settings: Any
) -> None:
    hooks = {"slow": "tests.test_delivery.run_out_of_time"}
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "SECRET_HOOKS": hooks}
    destination = rotation.destinations.create(kind="hook", place="slow", name="job")
    with pytest.raises(SoftTimeLimitExceeded):
        delivery.deliver(destination, issued, VALUE)


def test_hook_that_was_taken_out_of_the_settings_fails_loudly(
    rotation: Rotation, issued: RotatedSecret
) -> None:
    destination = rotation.destinations.create(kind="hook", place="gone", name="job")
    with pytest.raises(DeliveryError, match="not in SECRET_HOOKS"):
        delivery.deliver(destination, issued, VALUE)


def test_place_that_is_no_name_is_asked_for_nothing(
    rotation: Rotation, issued: RotatedSecret, microsoft: Microsoft
) -> None:
    Destination.objects.update(place="evil.example/x")
    with pytest.raises(DeliveryError, match="Destination") as caught:
        delivery.deliver(rotation.destinations.get(), issued, VALUE)
    assert caught.value.__suppress_context__
    assert microsoft.requests == []


def test_first_delivery_is_not_forgotten_when_a_second_one_fails(
    rotation: Rotation, azure: Azure, microsoft: Microsoft, connection: AppConnection
) -> None:
    rotation.destinations.create(kind="app-configuration", place="team-store", name="hr")
    microsoft.fail("store_set", 403, {"type": "https://azconfig.io/errors/forbidden"})
    advance(rotation, "failed")
    assert states(rotation) == ["proven"]
    secret = rotation.secrets.get()
    assert secret.offered_at is not None
    delivered = {one.place: one.delivered for one in rotation.destinations.all()}
    assert delivered == {"team": secret, "team-store": None}
    del microsoft.override["store_set"]
    advance(rotation)
    assert microsoft.count("vault_set") == 1
    assert states(rotation) == ["current"]
