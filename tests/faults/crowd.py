"""Many connections, and the processes that use them."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from example_project.standin.client import StandIn
from infisical_azure.models import AccessToken, AppConnection, RefreshToken

from .. import database
from ..conftest import Browser
from ..hostapp.host import add_member, make_organization
from .test_connect import walk

GRAPH = "https://graph.microsoft.com"


def connect(standin: StandIn, account: str = "ada@contoso.com") -> AppConnection:
    """Make a person and an organization, and connect it over real HTTP."""
    name, _, tenant = account.partition("@")
    organization = make_organization("Tailspin Toys")
    user = User.objects.create_user(name, f"{name}@site.example", "pass")
    add_member(organization, user)
    walk(Browser(user, organization), standin, account, tenant=tenant)
    return AppConnection.objects.get(account_username=account)


def multiply(connection: AppConnection, count: int) -> None:
    """Have so many connections, all due, with access tokens that are over."""
    secret = RefreshToken.objects.with_secret().get(pk=connection.pk).secret
    common = {
        field.attname: getattr(connection, field.attname)
        for field in AppConnection._meta.concrete_fields
        if field.name not in {"id", "name"}
    }
    made = [AppConnection(name=f"copy-{n}", **common) for n in range(count - 1)]
    AppConnection.objects.bulk_create(made, batch_size=500)
    expires_at = timezone.now() + timedelta(days=60)
    RefreshToken.objects.bulk_create(
        [RefreshToken(connection=one, secret=secret, expires_at=expires_at) for one in made],
        batch_size=500,
    )
    now = timezone.now()
    AccessToken.objects.bulk_create(
        [
            AccessToken(
                connection=one, resource=GRAPH, secret="CANARY-old",
                issued_at=now, refresh_at=now, expires_at=now,
            )
            for one in made
        ],
        batch_size=500,
    )  # fmt: skip
    make_due()


def make_due(count: int | None = None) -> None:
    """Let all, or so many, be due, with access tokens that are over, never refreshed yet."""
    now = timezone.now()
    AccessToken.objects.update(
        issued_at=now - timedelta(hours=1),
        refresh_at=now - timedelta(minutes=10),
        expires_at=now - timedelta(minutes=1),
    )
    RefreshToken.objects.update(due_at=None, fence=0)
    some = RefreshToken.objects.values_list("pk", flat=True)[:count]
    RefreshToken.objects.filter(pk__in=list(some)).update(due_at=now - timedelta(minutes=1))


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process that shares our database and stand-in."""
    return {
        **os.environ,
        "DATABASE_URL": database.url(),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "TEST_CLOUDS": "tests.faults.cloud.STANDIN",
        "TEST_TOTAL_TIMEOUT": "1",
        **more,
    }


def start(*arguments: object, **more: str) -> subprocess.Popen[str]:
    """Start ``python -m`` with the arguments, talking over pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)],
        env=environment(**more),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
