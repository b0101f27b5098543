"""Rows of connections: their status, what is missing, and what is shown beside them."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db.models import Model, RestrictedError
from django.utils import timezone

from infisical_azure.exceptions import Fault
from infisical_azure.models import AccessToken, AppConnection, Rotation
from infisical_azure.models.connections import validate_name

from .hostapp.host import make_organization
from .microsoft import ACCOUNT, TENANT
from .rotations import DAY

pytestmark = pytest.mark.django_db
Status = AppConnection.Status
MINUTE = timedelta(minutes=1)
ALL = ("Application.ReadWrite.All", "Directory.ReadWrite.All", "User.Read", "offline_access")


def connection(organization: Model, name: str = "toys", **facts: Any) -> AppConnection:
    given = {"tenant_id": TENANT, "account_object_id": ACCOUNT, "cloud": "public"}
    return AppConnection.objects.create(organization=organization, name=name, **given | facts)


def hold(of: AppConnection, resource: str, expires_in: int, used: int | None) -> None:
    now = timezone.now()
    AccessToken.objects.create(
        connection=of,
        resource=resource,
        secret="CANARY",
        issued_at=now - 60 * MINUTE,
        refresh_at=now,
        expires_at=now + expires_in * MINUTE,
        used_at=None if used is None else now - used * MINUTE,
    )


def test_list_shows_the_latest_use_and_the_first_end_to_come(organization: Model) -> None:
    with time_machine.travel(timezone.now(), tick=False):
        now = timezone.now()
        second, first = connection(organization, "b"), connection(organization, "a")
        for resource, expires_in, used in (
            ("one", -5, 50), ("two", 20, 10), ("three", 40, 30), ("four", 60, None),
        ):  # fmt: skip
            hold(second, resource, expires_in, used)
        found = list(AppConnection.objects.for_display())
        assert found == [first, second]
        assert (found[0].last_used_at, found[0].works_until) == (None, None)
        assert found[1].last_used_at == now - 10 * MINUTE
        assert found[1].works_until == now + 20 * MINUTE


def test_connections_of_an_organization_are_its_own(organization: Model) -> None:
    mine = connection(organization)
    connection(make_organization("Wingtip Toys"))
    assert list(AppConnection.objects.of(organization)) == [mine]


@pytest.mark.parametrize(("minutes", "is_due"), [(None, True), (0, True), (-5, True), (1, False)])
def test_directory_is_read_when_it_is_due(
    organization: Model, minutes: int | None, is_due: bool
) -> None:
    now = timezone.now()
    due_at = None if minutes is None else now + minutes * MINUTE
    made = connection(organization, watch_due_at=due_at)
    assert list(AppConnection.objects.to_watch(now)) == [made] * is_due


@pytest.mark.parametrize("name", ["toys", "a-1-b", "7"])
def test_names_are_of_letters_digits_and_single_hyphens(name: str) -> None:
    validate_name(name)


@pytest.mark.parametrize("name", ["", "Toys", "-a", "a-", "a--b", "a_b", "a\n", "ä"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        validate_name(name)


def test_status_since_changes_with_the_status_alone() -> None:
    made = AppConnection(status=Status.READY, status_since=timezone.now() - DAY)
    since = made.status_since
    fault = Fault(service="Entra", aadsts=7, correlation_id="c", trace_id="t")
    made.note_status(Status.READY, "throttled", fault)
    assert (made.status_since, made.problem) == (since, "throttled")
    assert (made.aadsts, made.correlation_id, made.trace_id) == (7, "c", "t")
    made.note_status(Status.RETRYING)
    assert timezone.now() - made.status_since < MINUTE
    assert (made.status, made.problem, made.aadsts) == ("retrying", "", None)


def test_claims_are_kept_beside_those_that_others_have_kept_since(
    organization: Model, django_assert_num_queries: Any
) -> None:
    made, other = connection(organization), connection(organization, "other")
    AppConnection.objects.filter(pk=made.pk).update(claims='{"a": 1}')
    with django_assert_num_queries(0):
        made.keep_claims("", "")
    made.keep_claims("", '{"b": 2}')
    assert json.loads(made.claims) == {"a": 1, "b": 2}
    made.refresh_from_db()
    assert json.loads(made.claims) == {"a": 1, "b": 2}
    other.refresh_from_db()
    assert other.claims == ""


@pytest.mark.parametrize("missing", [None, *ALL])
def test_status_follows_from_what_was_granted(missing: str | None) -> None:
    made = AppConnection(status=Status.RETRYING)
    made.note_granted([name for name in ("profile", *ALL[::-1]) if name != missing])
    assert made.granted_scopes == sorted(made.granted_scopes)
    assert missing not in made.granted_scopes
    is_limited = bool(made.missing_permissions)
    assert made.status == (Status.PERMISSION_MISSING if is_limited else Status.READY)
    assert is_limited is (missing is not None)


@pytest.mark.parametrize(
    ("status", "is_broken"),
    [
        (Status.READY, False),
        (Status.PERMISSION_MISSING, False),
        (Status.RETRYING, False),
        (Status.NEEDS_RECONNECT, True),
        (Status.NEEDS_ADMIN_APPROVAL, True),
        (Status.OPERATOR_MUST_ACT, True),
    ],
)
def test_broken_is_what_a_person_must_mend(status: str, is_broken: bool) -> None:
    assert AppConnection(status=status).is_broken is is_broken


def test_lock_tells_whether_this_row_is_there(organization: Model) -> None:
    made, other = connection(organization), connection(organization, "other")
    assert made.lock()
    AppConnection.objects.filter(pk=made.pk).delete()
    assert not made.lock()
    assert other.lock()


def test_details_are_saved_without_the_rest_and_only_where_the_row_is_there(
    organization: Model,
) -> None:
    made = connection(organization)
    AppConnection.objects.update(status="ready", updated_at=timezone.now() - DAY)
    made.name, made.description, made.status = "renamed", "For the toys", "retrying"
    assert made.save_details()
    saved = AppConnection.objects.get()
    assert (saved.name, saved.description, saved.status) == ("renamed", "For the toys", "ready")
    assert timezone.now() - saved.updated_at < MINUTE
    AppConnection.objects.all().delete()
    assert not made.save_details()
    assert not AppConnection.objects.exists()


def test_cloud_that_was_disabled_has_a_name_still() -> None:
    made = AppConnection(cloud="public")
    assert (made.cloud_label, made.find_cloud().name) == ("Azure", "public")
    made.cloud = "gone"
    assert made.cloud_label == "gone"
    with pytest.raises(ImproperlyConfigured, match="'gone'"):
        made.find_cloud()


def test_organization_with_a_rotation_is_not_deleted(organization: Model) -> None:
    other = make_organization("Wingtip Toys")
    left, gone = connection(organization), connection(other)
    Rotation.objects.create(
        connection=left,
        application_id=uuid.uuid4(),
        app_id=uuid.uuid4(),
        interval=DAY,
        lifetime=DAY,
        overlap=DAY,
    )
    with pytest.raises(RestrictedError, match="1 rotations"):
        organization.delete()
    other.delete()
    assert list(AppConnection.objects.all()) == [left]
    assert gone.pk != left.pk
