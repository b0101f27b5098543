"""Write down who did what, so that nobody can take it back."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

from django.db import models
from django.utils import timezone

from .conf import conf
from .exceptions import RemoteError, TokenUnavailableError
from .models import (
    AppConnection,
    Authorization,
    Destination,
    HistoryEntry,
    Rotation,
    database,
)
from .text import displayable

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

Act: TypeAlias = HistoryEntry.Act
Outcome: TypeAlias = HistoryEntry.Outcome


def record(
    act: Act,
    about: models.Model,
    *,
    user: AbstractBaseUser | AnonymousUser | None = None,
    outcome: Outcome = Outcome.DONE,
    error: Exception | None = None,
    **facts: Any,
) -> HistoryEntry:
    """
    Add an entry about a connection, authorization, rotation, destination or organization.

    Call it in the transaction of the act itself: what is rolled back is then not told of.
    `user` is who did it, None for work in the background. `error` gives problem and
    correlation id. `facts` are other fields of `HistoryEntry`, such as ``key_id``, and win
    over what follows from `about`; nothing of them may be secret.
    """
    known = _of(about) | _why(error) | _who(user) | facts
    values = {name: _fitting(name, value) for name, value in known.items()}
    return HistoryEntry.objects.using(database()).create(act=act, outcome=outcome, **values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A change that Microsoft is asked for: an entry before the call, and another after it."""

    act: Act
    connection: AppConnection
    user: AbstractBaseUser | AnonymousUser
    application_id: UUID
    application_name: str
    name: str
    key_id: UUID | None = None
    id: UUID = field(default_factory=uuid.uuid4)

    def tell(
        self, outcome: Outcome, *, key_id: UUID | None = None, error: Exception | None = None
    ) -> None:
        """Add the entry of this outcome."""
        record(
            self.act,
            self.connection,
            user=self.user,
            outcome=outcome,
            error=error,
            application_id=self.application_id,
            application_name=self.application_name,
            name=self.name,
            key_id=key_id or self.key_id,
            attempt=self.id,
        )


def record_unless_repeated(act: Act, about: Destination | Rotation, **facts: Any) -> None:
    """
    Add an entry of a failure, unless the same act has failed so since anything was done.

    For work on a rotation that is tried again and again, by the same person or by nobody.
    """
    known = {"destination_id": None, "key_id": None, "problem": "", "actor_id": ""} | _of(about)
    known |= _why(facts.get("error")) | _who(facts.get("user")) | facts
    entries = HistoryEntry.objects.using(database()).filter(rotation_id=known["rotation_id"])
    names = ("destination_id", "key_id", "outcome", "problem", "actor_id")
    earlier = entries.filter(act=act, **{name: known[name] for name in names}).first()
    if earlier is None or entries.filter(outcome=Outcome.DONE, pk__gt=earlier.pk).exists():
        record(act, about, **facts)


def purge(*, is_dry_run: bool = False) -> int:
    """Delete what is older than HISTORY_DAYS, or only count it; return how many entries."""
    old = HistoryEntry.objects.using(database()).older_than(timezone.now() - conf.history_kept)
    return old.count() if is_dry_run else old.purge()


def _of(about: models.Model) -> dict[str, Any]:
    match about:
        case Destination():
            own = {"destination_id": about.pk, "name": str(about)}
            return _of(about.rotation) | own
        case Rotation():
            own = {"rotation_id": about.pk, "application_id": about.application_id}
            return _of(about.connection) | own | {"application_name": about.application_name}
        case AppConnection():
            own = {"connection_id": about.pk, "connection_name": about.name}
            return own | {"organization_id": str(about.organization_id)}
        case Authorization(connection=AppConnection() as connection):
            return _of(connection)
        case Authorization():
            name = about.name
            return {"organization_id": str(about.organization_id), "connection_name": name}
    return {"organization_id": str(about.pk)}


def _who(user: AbstractBaseUser | AnonymousUser | None) -> dict[str, str]:
    if user is None or user.pk is None:
        return {}
    return {"actor_id": str(user.pk), "actor": user.get_username()}


def _why(error: Exception | None) -> dict[str, str]:
    match error:
        case None:
            return {}
        case TokenUnavailableError():
            return {"problem": error.problem, "correlation_id": error.correlation_id}
        case RemoteError():
            code = error.fault.error or "no_usable_answer"
            return {"problem": code, "correlation_id": error.fault.correlation_id}
    return {"problem": type(error).__name__}


def _fitting(name: str, value: Any) -> Any:
    """Free a text of controls, and cut it to what its column holds."""
    column = HistoryEntry._meta.get_field(name)
    if not isinstance(column, models.CharField):
        return value
    return displayable(value, longest=column.max_length or 0)
