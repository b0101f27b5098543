"""End calendar links for good: a person asks for a new one, who may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import models, transaction
from django.db.models.signals import m2m_changed, post_save

from .conf import conf
from .history import Act, record
from .models import Feed, database

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def end_links(
    user: User, organization: models.Model | None = None, *, by: User | None = None
) -> None:
    """
    End a person's calendar links, to one organization or to all.

    For hosts to call when somebody leaves. A link also ends by itself when it is read
    while its creator may not see the connections, and when the account is deactivated.
    """
    links = Feed.objects.filter(created_by=user.pk)
    end(links if organization is None else links.filter(organization=organization), by=by)


def end(links: models.QuerySet[Feed], *, by: User | None = None) -> None:
    """Delete the links and tell the history."""
    with transaction.atomic(using=database()):
        # Locked: a link that is replaced meanwhile is another, asked for by who may.
        for link in links.select_for_update():
            link.delete()
            record(Act.FEED_REMOVED, link.organization, user=by)


def connect_receivers() -> None:
    """Have links end when Django itself is told that a person left."""
    user = get_user_model()
    post_save.connect(_end_of_deactivated, sender=user, dispatch_uid="infisical_azure_deactivated")
    for field in user._meta.many_to_many:
        if field.related_model is Group:
            through, uid = field.remote_field.through, "infisical_azure_leavers"
            m2m_changed.connect(end_of_leavers, sender=through, dispatch_uid=uid)


def _end_of_deactivated(instance: User, raw: bool, **kwargs: Any) -> None:  # noqa: FBT001
    if not (instance.is_active or raw):
        end_links(instance)


def end_of_leavers(
    instance: models.Model,
    action: str,
    reverse: bool,  # noqa: FBT001
    pk_set: set[Any] | None,
    **kwargs: Any,
) -> None:
    """End the links of people who leave a group, where groups are the organizations."""
    is_about_organizations = conf.organization_model.lower() == "auth.group"
    if not is_about_organizations or action not in {"post_remove", "post_clear"}:
        return
    near, far = ("organization", "created_by") if reverse else ("created_by", "organization")
    links = Feed.objects.filter(**{near: instance.pk})
    end(links if pk_set is None else links.filter(**{f"{far}__in": pk_set}))
