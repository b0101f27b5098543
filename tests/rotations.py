"""What the tests of rotations share: an application that remembers, and short words."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import time_machine
from django.utils import timezone

from infisical_azure import rotation as engine
from infisical_azure.delivery import Delivery
from infisical_azure.models import Destination, Rotation

from .microsoft import Microsoft, application, client_secret

if TYPE_CHECKING:
    from .conftest import Browser

DAY = timedelta(days=1)


class Azure:
    """One application that keeps what is done to its client secrets."""

    def __init__(self, microsoft: Microsoft) -> None:
        self.microsoft = microsoft
        self.secrets = [client_secret("somebody else's", days=300)]
        self.loses = 0
        """How many of the next answers to addPassword are lost."""
        self.was_lost = False
        self.is_shown = True
        microsoft.before |= {
            "application": self.show,
            "add_password": self.add,
            "remove_password": self.remove,
        }

    def show(self) -> None:
        shown = self.secrets if self.is_shown else self.secrets[:1]
        self.microsoft.applications["value"] = [application("HR", *shown)]

    def add(self) -> None:
        if self.was_lost:
            self.microsoft.override.pop("add_password", None)
        if "add_password" in self.microsoft.override:
            return
        sent = json.loads(self.microsoft.requests[-1][1].body)["passwordCredential"]
        made = client_secret(
            sent["displayName"], keyId=str(uuid.uuid4()), endDateTime=sent["endDateTime"]
        )
        self.secrets.append(made)
        self.microsoft.add_password = made | {"secretText": f"CANARY~{made['keyId']}"}
        self.was_lost = bool(self.loses)
        if self.loses:
            self.loses -= 1
            self.microsoft.fail("add_password", 504, {})

    def remove(self) -> None:
        key = json.loads(self.microsoft.requests[-1][1].body)["keyId"]
        if self.microsoft.override["remove_password"][0] == 204:
            self.secrets = [one for one in self.secrets if one["keyId"] != key]

    @property
    def ours(self) -> list[str]:
        return [one["keyId"] for one in self.secrets if one["displayName"] != "somebody else's"]


taken: list[Delivery] = []


def take(delivery: Delivery) -> None:
    taken.append(delivery)
    if delivery.name == "broken":
        raise RuntimeError(f"no room for {delivery.value.reveal()}")


def states(rotation: Rotation) -> list[str]:
    """Return the states of its client secrets, the oldest first."""
    return [one.state for one in rotation.secrets.order_by("intended_at")]


def advance(rotation: Rotation, expected: str = "advanced") -> Rotation:
    assert engine.advance(rotation.pk) == expected
    rotation.refresh_from_db()
    assert rotation.lease_until is None
    return rotation


def later(**ago: float) -> time_machine.travel:
    return time_machine.travel(timezone.now() + timedelta(**ago))


def listen(signal: Any) -> list[Any]:
    heard: list[Any] = []

    def hear(**news: Any) -> None:
        heard.append(news)

    signal.connect(hear, weak=False, dispatch_uid=str(uuid.uuid4()))
    return heard


def url(browser: Browser, rotation: Rotation, name: str = "rotation_detail") -> str:
    return browser.url(name, rotation.connection_id, rotation.pk)


def act(browser: Browser, rotation: Rotation, what: str) -> Any:
    return browser.post(url(browser, rotation, "rotation_act"), {"act": what})


def refer(rotation: Rotation) -> Destination:
    made: Destination = rotation.destinations.create(
        kind="key-vault-reference",
        place="team-store",
        name="hr:secret",
        label="production",
        refers_to=rotation.destinations.get(kind="key-vault"),
    )
    return made
