"""How many connections, rotations and client secrets an organization may have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.db import connections, models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from .conf import conf
from .exceptions import InfisicalAzureError
from .models import AppConnection, IssuedSecret, Rotation, database


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One number of the settings, and the rows of an organization that it counts."""

    setting: str
    rows: Callable[[models.Model], models.QuerySet]
    text: Promise

    @property
    def most(self) -> int | None:
        """The number of the settings; None where there is no limit."""
        return conf.limit(self.setting)

    def refuses(self, count: int) -> bool:
        """Say whether an organization may not have so many."""
        return self.most is not None and count > self.most

    def keep(self, organization: models.Model) -> None:
        """
        Refuse the row that this transaction has just made where it is too many.

        All that make a row at the same time wait for each other here, until the end of
        the transaction. Raises LimitReachedError.
        """
        if self.most is None:
            return
        lock(organization)
        if self.refuses(self.rows(organization).count()):
            raise LimitReachedError(self)

    def __str__(self) -> str:
        return str(self.text) % {"most": self.most, "setting": self.setting}


class LimitReachedError(InfisicalAzureError):
    """The organization has as many as it may; `limit` has the words for people."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(f"{limit.setting} of the organization is reached.")
        self.limit = limit


def lock(organization: models.Model) -> None:
    """Let no other transaction make a row for the organization until this one ends."""
    # The row that was made before keeps the key of the organization, and others' rows too:
    # a lock of the whole row would wait for them, and they for it.
    no_key = connections[database()].features.has_select_for_no_key_update
    rows = type(organization)._base_manager.using(database()).select_for_update(no_key=no_key)
    rows.get(pk=organization.pk)


CONNECTIONS = Limit(
    setting="MAX_CONNECTIONS",
    rows=AppConnection.objects.of,
    text=_(
        "This organization may have %(most)s connections, and has no room for another. Remove "
        "a connection that is not needed, or ask the operator of this site to raise %(setting)s."
    ),
)
ROTATIONS = Limit(
    setting="MAX_ROTATIONS",
    rows=Rotation.objects.of,
    text=_(
        "This organization may have %(most)s rotations, and has no room for another. End a "
        "rotation that is not needed, or ask the operator of this site to raise %(setting)s."
    ),
)
SECRETS = Limit(
    setting="MAX_SECRETS",
    rows=IssuedSecret.objects.alive_of,
    text=_(
        "This organization may have %(most)s client secrets that were issued here and still work, "
        "and has no room for another. Remove a client secret that is not needed, or ask the "
        "operator of this site to raise %(setting)s."
    ),
)
