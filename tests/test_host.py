"""The default hosts, and how one is found."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.http import Http404
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from infisical_azure.host import GroupHost, Host
from infisical_azure.permissions import ASKED

PERM = ASKED["view"]


@pytest.mark.django_db
def test_host_lets_nobody_in() -> None:
    request = RequestFactory().get("/")
    group = Group.objects.create(name="g")
    with pytest.raises(Http404):
        Host().get_organization(request, str(group.pk))
    assert Host().has_permission(User(is_superuser=True), PERM, group, None) is False
    assert Host().get_key(group) == str(group.pk)
    assert Host().get_context_data(request, group) == {}


@pytest.mark.django_db
def test_group_host_lets_members_in() -> None:
    group = Group.objects.create(name="g")
    member, stranger = User.objects.create_user("m"), User.objects.create_user("s")
    root = User.objects.create_superuser("r")
    group.user_set.add(member)
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


def group_that_grants(name: str, *codenames: str) -> Group:
    group = Group.objects.create(name=name)
    group.permissions.set(Permission.objects.filter(codename__in=codenames))
    return group


def answers(user: User | AnonymousUser, group: Group) -> set[str]:
    """Return what a person may do in a group, by the short names."""
    host = GroupHost()
    return {name for name, asked in ASKED.items() if host.has_permission(user, asked, group, None)}


@pytest.mark.django_db
def test_rights_from_one_group_let_nobody_act_in_another() -> None:
    ours = group_that_grants("a", "view_appconnection", "manage_rotations")
    theirs = group_that_grants("b")
    both = User.objects.create_user("b")
    both.groups.set([ours, theirs])
    both.user_permissions.set(Permission.objects.all())
    assert answers(both, ours) == {"view", "manage_rotations"}
    assert answers(both, theirs) == set()
    elsewhere = User.objects.create_user("e")
    elsewhere.groups.add(theirs)
    assert answers(elsewhere, ours) == set()


@pytest.mark.django_db
def test_permission_of_another_app_with_the_same_name_is_another() -> None:
    group = Group.objects.create(name="g")
    foreign = Permission.objects.create(
        codename="manage_rotations", content_type=ContentType.objects.get_for_model(Group)
    )
    group.permissions.add(foreign)
    member = User.objects.create_user("m")
    member.groups.add(group)
    assert answers(member, group) == set()


@pytest.mark.django_db
def test_change_alone_mints_nothing() -> None:
    group = group_that_grants("g", "change_appconnection")
    member = User.objects.create_user("m")
    member.groups.add(group)
    assert answers(member, group) == {"change"}


@pytest.mark.django_db
def test_group_host_answers_superusers_but_nobody_who_is_inactive_or_unknown() -> None:
    group = group_that_grants("g", *(asked.split(".")[1] for asked in ASKED.values()))
    member, root = User.objects.create_user("m"), User.objects.create_superuser("r")
    member.groups.add(group)
    assert answers(member, group) == answers(root, group) == set(ASKED)
    assert answers(AnonymousUser(), group) == set()
    for user in (member, root):
        user.is_active = False
        assert answers(user, group) == set()


@pytest.mark.django_db
@pytest.mark.parametrize("unknown", ["auth.view_group", "infisical_azure.own_all", "view", ""])
def test_unknown_permission_is_refused(unknown: str) -> None:
    group = group_that_grants("g", "view_group")
    member, root = User.objects.create_user("m"), User.objects.create_superuser("r")
    member.groups.add(group)
    for user in (member, root):
        assert not GroupHost().has_permission(user, unknown, group, None)


@pytest.mark.django_db
def test_group_host_asks_once() -> None:
    group = group_that_grants("g", "view_appconnection")
    member = User.objects.create_user("m")
    member.groups.add(group)
    with CaptureQueriesContext(connection) as queries:
        assert GroupHost().has_permission(member, PERM, group, None)
    assert len(queries) == 1
