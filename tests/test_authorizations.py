"""Round trips that are kept, found again and forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import Model
from django.utils import timezone

from infisical_azure.exceptions import AuthorizationError
from infisical_azure.models import Authorization

from .hostapp.host import add_member
from .microsoft import TENANT

pytestmark = pytest.mark.django_db


@pytest.fixture
def colleague(organization: Model) -> User:
    user = User.objects.create_user("grace")
    add_member(organization, user)
    return user


def authorization(user: User, organization: Model, **values: Any) -> Authorization:
    number = Authorization.objects.count()
    expires_at = timezone.now() + timedelta(minutes=number)
    given = {"state_hash": f"state-{number}", "expires_at": expires_at, "tenant_id": TENANT}
    made: Authorization = Authorization.objects.create(
        **given | {"browser_hash": "browser", "user": user, "organization": organization} | values
    )
    return made


def test_room_is_made_among_the_persons_own_ones(
    admin_user: User, colleague: User, organization: Model, settings: Any
) -> None:
    settings.INFISICAL_AZURE = {**settings.INFISICAL_AZURE, "MAX_PENDING_AUTHORIZATIONS": 3}
    theirs = [authorization(colleague, organization) for _ in range(4)]
    mine = [authorization(admin_user, organization) for _ in range(4)]
    Authorization.objects.make_room(admin_user)
    assert set(Authorization.objects.all()) == {*theirs, *mine[2:]}


@pytest.mark.parametrize("allowed", [0, 1])
def test_room_for_a_single_one_leaves_none(
    admin_user: User, organization: Model, settings: Any, allowed: int
) -> None:
    settings.INFISICAL_AZURE = {
        **settings.INFISICAL_AZURE,
        "MAX_PENDING_AUTHORIZATIONS": allowed,
    }
    authorization(admin_user, organization)
    Authorization.objects.make_room(admin_user)
    assert not Authorization.objects.exists()


def test_expired_ones_are_kept_for_a_day_to_explain_them(
    admin_user: User, colleague: User, organization: Model
) -> None:
    now = timezone.now()
    ages = {"just now": 1, "yesterday": 23, "too old": 25}
    for name, hours in ages.items():
        for user in (admin_user, colleague):
            expired_at = now - timedelta(hours=hours)
            authorization(user, organization, name=name, expires_at=expired_at)
    Authorization.objects.make_room(admin_user)
    names = sorted(Authorization.objects.values_list("name", flat=True))
    assert names == ["just now", "just now", "yesterday", "yesterday"]


@pytest.mark.parametrize("differs", ["state_hash", "browser_hash", "user"])
def test_claim_is_of_one_state_browser_and_person(
    admin_user: User, colleague: User, organization: Model, differs: str
) -> None:
    other = {"state_hash": "another", "browser_hash": "another", "user": colleague}[differs]
    made = authorization(admin_user, organization)
    given: dict[str, Any] = {
        "state_hash": made.state_hash,
        "browser_hash": made.browser_hash,
        "user": admin_user,
    }
    with pytest.raises(AuthorizationError) as caught:
        Authorization.objects.claim(**given | {differs: other})
    assert caught.value.code == "state_unrecognised"
    made.refresh_from_db()
    assert made.claimed_at is None
    claimed = Authorization.objects.claim(**given)
    assert (claimed, claimed.user) == (made, admin_user)
    made.refresh_from_db()
    assert timezone.now() - made.claimed_at < timedelta(minutes=1)
    with pytest.raises(AuthorizationError) as caught:
        Authorization.objects.claim(**given)
    assert caught.value.code == "state_used"


def test_claim_leaves_the_persons_other_ones(admin_user: User, organization: Model) -> None:
    mine = [authorization(admin_user, organization) for _ in range(2)]
    Authorization.objects.claim(state_hash="state-0", browser_hash="browser", user=admin_user)
    mine[1].refresh_from_db()
    assert mine[1].claimed_at is None


def test_problem_is_kept_with_its_ids(admin_user: User, organization: Model) -> None:
    made = authorization(admin_user, organization, name="kept")
    other = authorization(admin_user, organization)
    Authorization.objects.update(name="changed meanwhile")
    made.note_problem("refused", None)
    after = Authorization.objects.get(pk=made.pk)
    assert (after.problem, after.name) == ("refused", "changed meanwhile")
    other.refresh_from_db()
    assert other.problem == ""
