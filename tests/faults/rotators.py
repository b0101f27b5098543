"""Processes that rotate: ``python -m tests.faults.rotators dying|killed ...``."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import django
import requests

CONTOSO = "contoso.com"


def pass_time(rotation_id: str) -> None:
    """Let the lease of whoever was killed end, and what must settle be settled."""
    from django.db.models import F
    from django.utils import timezone

    from infisical_azure.models import RotatedSecret, Rotation

    now = timezone.now()
    rows = RotatedSecret.objects.filter(rotation=rotation_id, asked_at__isnull=False)
    rows.update(asked_at=F("asked_at") - timedelta(seconds=61))
    Rotation.objects.filter(pk=rotation_id).update(lease_until=None, wake_at=now, sweep_at=now)


def rotate_for_ever(rotation_id: str, say: Callable[[], object]) -> None:
    from django.utils import timezone

    from infisical_azure.models import RotatedSecret, Rotation
    from infisical_azure.rotation import advance

    while True:
        now = timezone.now()
        say()
        if not RotatedSecret.objects.filter(state__in=RotatedSecret.PENDING).exists():
            Rotation.objects.filter(pk=rotation_id).update(due_at=now, wake_at=now)
        advance(rotation_id)  # type: ignore[arg-type]


class Truth:
    """What is so in the directory and in the vault, whatever the database says."""

    def __init__(self, rotation_id: str) -> None:
        from example_project.standin.client import StandIn
        from infisical_azure import tokens
        from infisical_azure.models import Rotation

        self.standin = StandIn(os.environ["TEST_STANDIN_URL"])
        self.rotation = Rotation.objects.select_related("connection").get(pk=rotation_id)
        self.token = tokens.get_token(self.rotation.connection, "key-vault").reveal()
        self.foreign = self.secrets(ours=False)

    def secrets(self, *, ours: bool) -> set[str]:
        application = self.standin.application(CONTOSO, str(self.rotation.app_id))
        return {
            one["keyId"]
            for one in application["secrets"]
            if not one["is_removed"] and (one["displayName"] or "").startswith("rotation ") == ours
        }

    def orphans(self) -> set[str]:
        known = self.rotation.secrets.exclude(state="removed").values_list("key_id", flat=True)
        return self.secrets(ours=True) - {str(key) for key in known}

    def look(self) -> dict[str, Any]:
        """Say how many orphans there are, and what of the promises is broken."""
        vault = self.standin.vault_url("contoso-vault")
        found = requests.get(
            f"{vault}/secrets/rotated/?api-version=7.4",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=10,
        ).json()
        works = self.standin.secret_works(CONTOSO, str(self.rotation.app_id), found["value"])
        return {
            "orphans": len(self.orphans()),
            "delivered_works": works,
            "foreign_untouched": self.secrets(ours=False) == self.foreign,
        }


def forked(act: Callable[[], object]) -> int:
    from django.db import connections

    connections.close_all()
    child = os.fork()
    if not child:
        try:
            act()
        finally:
            os._exit(0)
    return child


def dying(rotation_id: str, count: str) -> None:
    """Be killed so often at random moments of a rotation; report what was ever broken."""
    from infisical_azure.models import RotatedSecret
    from infisical_azure.rotation import advance

    advance(rotation_id)  # type: ignore[arg-type]
    truth, seen, states = Truth(rotation_id), Counter[str](), Counter[str]()
    for _ in range(int(count)):
        heard, told = os.pipe()
        child = forked(lambda told=told: rotate_for_ever(rotation_id, lambda: os.write(told, b".")))
        os.close(told)
        os.read(heard, 1)
        time.sleep(random.uniform(0, 0.15))  # noqa: S311
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(heard)
        look = truth.look()
        seen.update({f"orphans {look['orphans']}": 1})
        seen.update({name: 1 for name, is_so in look.items() if is_so is False})
        pending = RotatedSecret.objects.filter(state__in=RotatedSecret.PENDING).first()
        states.update({pending.state if pending else "none": 1})
        pass_time(rotation_id)
    for _ in range(3):  # What is left over is cleaned up by whoever comes next.
        pass_time(rotation_id)
        advance(rotation_id)  # type: ignore[arg-type]
    print(json.dumps({"seen": seen, "states": states, "end": truth.look()}), flush=True)


def killed(rotation_id: str, statement: str) -> None:
    """Kill this process at the first statement that contains a text."""
    from django.db import connection as database

    from infisical_azure.rotation import advance

    def watch(execute: Any, sql: str, *rest: Any) -> Any:
        if statement in sql:
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(sql, *rest)

    with database.execute_wrapper(watch):
        print(json.dumps(advance(rotation_id)), flush=True)  # type: ignore[arg-type]


def truth(rotation_id: str) -> None:
    print(json.dumps(Truth(rotation_id).look()), flush=True)


def main(name: str, *arguments: str) -> None:
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
    django.setup()
    {"dying": dying, "killed": killed, "truth": truth}[name](*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
