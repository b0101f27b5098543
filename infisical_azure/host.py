"""The questions that go to the host project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Group, Permission
from django.core.exceptions import ImproperlyConfigured
from django.http import Http404, HttpRequest
from django.utils.module_loading import import_string

from .conf import conf
from .permissions import ASKED

if TYPE_CHECKING:
    from typing import TypeAlias

    from django.contrib.auth.models import AbstractUser, AnonymousUser
    from django.db.models import Model

    from .models import AppConnection

    User: TypeAlias = AbstractUser | AnonymousUser


class Host:
    """
    What we must know of the project that mounts us; subclass it and name it in
    ``INFISICAL_AZURE["HOST"]``. Closed by default: this class lets nobody in.
    """

    def get_organization(self, request: HttpRequest, key: str) -> Model:
        """
        Return the organization with this key in the URL.

        Called for every page of an organization, with a signed-in user. Raise
        Http404 when there is none, and for people who should not learn of it.
        """
        raise Http404

    def get_key(self, organization: Model) -> str:
        """Return what stands for the organization in URLs; `get_organization` takes it."""
        return str(organization.pk)

    def has_permission(
        self,
        user: User,
        permission: str,
        organization: Model,
        connection: AppConnection | None,
    ) -> bool:
        """
        Say whether a person may do this in this organization.

        Called for every page and button, and once more when a person returns from
        Microsoft. `permission` is ``infisical_azure.`` with ``view_``, ``add_``,
        ``change_`` or ``delete_appconnection``, ``manage_client_secrets`` or
        ``manage_rotations``. `connection` is None where a page is about all
        connections, or about a new one. Answer no to what you don't know.
        """
        return False

    def get_recipients(self, organization: Model, connection: Model) -> Sequence[str]:
        """
        Return the e-mail addresses to tell that a connection needs a person, or that
        client secrets of its directory end soon.

        Called once per break and per warning, from whichever process noticed. Nobody
        unless overridden.
        """
        return []

    def get_context_data(self, request: HttpRequest, organization: Model) -> dict[str, Any]:
        """Return what your ``infisical_azure/base.html`` needs beyond `organization`."""
        return {}


class GroupHost(Host):
    """Organizations are auth groups: what a group's own permissions say, its members may do."""

    def get_organization(self, request: HttpRequest, key: str) -> Group:
        groups = Group.objects.all() if request.user.is_superuser else request.user.groups.all()
        group = groups.filter(pk=key).first() if key.isdecimal() and len(key) < 20 else None
        if group is None:
            raise Http404
        return group

    def has_permission(
        self,
        user: User,
        permission: str,
        organization: Model,
        connection: AppConnection | None,
    ) -> bool:
        if permission not in ASKED.values() or not user.is_active:
            return False
        if user.is_superuser:
            return True
        # Not user.has_perm(), which counts what any other of their groups grants.
        app_label, codename = permission.split(".")
        granted = Permission.objects.filter(content_type__app_label=app_label, codename=codename)
        return user.groups.filter(pk=organization.pk, permissions__in=granted).exists()


def get_host() -> Host:
    """
    Return the host class of the settings, ready to be asked.

    Raises ImproperlyConfigured when INFISICAL_AZURE["HOST"] names no `Host`.
    """
    try:
        host_class = import_string(conf.host)
    except ImportError as exc:
        raise ImproperlyConfigured(
            f'INFISICAL_AZURE["HOST"] = {conf.host!r} cannot be imported: {exc}'
        ) from exc
    if not (isinstance(host_class, type) and issubclass(host_class, Host)):
        raise ImproperlyConfigured(
            f'INFISICAL_AZURE["HOST"] = {conf.host!r} is no subclass of infisical_azure.host.Host.'
        )
    return host_class()
