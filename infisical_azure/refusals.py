"""What Microsoft refuses for one resource alone, while the tokens for others go on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from .exceptions import Fault, Reaction
from .health import Diagnosis
from .models import AppConnection, RefreshToken
from .models.connections import BROKEN
from .pauses import pause_of_token

Status = AppConnection.Status
Kept = dict[str, dict[str, Any]]
"""Refusals by resource, as `RefreshToken.refused` keeps them."""

_LONGEST_PAUSE = timedelta(minutes=5)
_LONGEST_UNTIL_SIGN_IN = timedelta(minutes=30)
#: A refused API that nobody has asked for since then says nothing of the connection.
_FORGOTTEN_AFTER = timedelta(days=1)
_QUIET = {Status.READY, Status.PERMISSION_MISSING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why there is no token for one resource."""

    problem: str
    reaction: Reaction
    status: str
    """The status that follows for the connection; ready where it stays as it was."""
    correlation_id: str
    failures: int
    until: datetime
    """Until then Microsoft is not asked again."""

    @classmethod
    def read(cls, kept: dict[str, Any]) -> Refusal:
        reaction, until = Reaction(kept["reaction"]), datetime.fromisoformat(kept["until"])
        return cls(**kept | {"reaction": reaction, "until": until})

    def written(self) -> dict[str, Any]:
        return asdict(self) | {"until": self.until.isoformat()}


def refusal_of(row: RefreshToken, audience: str) -> Refusal | None:
    """Return the refusal for which Microsoft is not asked for this resource now, if any."""
    kept = row.refused.get(audience)
    found = Refusal.read(kept) if kept else None
    return found if found is not None and timezone.now() < found.until else None


def refused_anew(
    row: RefreshToken, audience: str, diagnosis: Diagnosis, fault: Fault | None
) -> Refusal:
    """Return the refusal of this resource, which is left alone longer each time."""
    before = row.refused.get(audience)
    failures = before["failures"] + 1 if before else 0
    needs_sign_in = diagnosis.reaction is Reaction.RECONNECT
    longest = _LONGEST_UNTIL_SIGN_IN if needs_sign_in else _LONGEST_PAUSE
    return Refusal(
        problem=diagnosis.code,
        reaction=diagnosis.reaction,
        status=diagnosis.status,
        correlation_id=fault.correlation_id if fault else "",
        failures=failures,
        until=timezone.now() + pause_of_token(failures, fault, longest=longest),
    )


def remaining(row: RefreshToken, audience: str) -> Kept:
    """Return the refusals that are left once there is a token for this resource."""
    since = (timezone.now() - _FORGOTTEN_AFTER).isoformat()
    kept = row.refused.items()
    return {
        resource: found
        for resource, found in kept
        if resource != audience and (found["until"] > since or found["status"] in BROKEN)
    }


def of_apis(connection: AppConnection) -> dict[str, Refusal]:
    """Return recent refusals by resource, where the connection's status doesn't tell them."""
    rows = RefreshToken.objects.filter(pk=connection.pk)
    kept = rows.values_list("refused", flat=True).first() or {}
    since = timezone.now() - _FORGOTTEN_AFTER
    found = {audience: Refusal.read(refusal) for audience, refusal in kept.items()}
    return {
        audience: refusal
        for audience, refusal in found.items()
        if refusal.status in _QUIET and refusal.until > since
    }


def note_refusals(connection: AppConnection, refused: Kept, fault: Fault | None = None) -> bool:
    """
    Give the connection the status of the worst refusal; return whether there is any.

    `fault` is that of the newest refusal, which need not be the worst.
    """
    kept = map(Refusal.read, refused.values())
    found = [refusal for refusal in kept if refusal.status != Status.READY]
    if not found:
        return False
    worst = max(found, key=lambda refusal: refusal.status in BROKEN)
    if (connection.status, connection.problem) != (worst.status, worst.problem):
        is_newest = fault is not None and fault.correlation_id == worst.correlation_id
        connection.note_status(Status(worst.status), worst.problem, fault if is_newest else None)
        connection.correlation_id = worst.correlation_id
    return True
