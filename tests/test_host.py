"""The default hosts, and how one is found."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.http import Http404
from django.test import RequestFactory

from infisical_azure.host import GroupHost, Host

PERM = "infisical_azure.view_appconnection"


@pytest.mark.django_db
def test_host_lets_nobody_in() -> None:
    request = RequestFactory().get("/")
    group = Group.objects.create(name="g")
    with pytest.raises(Http404):
        Host().get_organization(request, str(group.pk))
    assert Host().has_permission(User(is_superuser=True), PERM, group) is False
    assert Host().get_key(group) == str(group.pk)
    assert Host().get_context_data(request, group) == {}


@pytest.mark.django_db
def test_group_host_lets_members_in_and_asks_django() -> None:
    group = Group.objects.create(name="g")
    member, stranger = User.objects.create_user("m"), User.objects.create_user("s")
    root = User.objects.create_superuser("r")
    group.user_set.add(member)
    member.user_permissions.add(Permission.objects.get(codename="view_appconnection"))
    request = RequestFactory().get("/")
    for user, found in ((member, True), (root, True), (stranger, False)):
        request.user = user
        if found:
            assert GroupHost().get_organization(request, str(group.pk)) == group
        else:
            with pytest.raises(Http404):
                GroupHost().get_organization(request, str(group.pk))
    with pytest.raises(Http404):
        GroupHost().get_organization(request, "x")
    assert GroupHost().has_permission(member, PERM, group)
    assert not GroupHost().has_permission(stranger, PERM, group)
    assert not GroupHost().has_permission(AnonymousUser(), PERM, group)
