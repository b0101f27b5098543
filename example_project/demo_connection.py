"""A connection that the demo begins with, and the work that goes on behind it."""

from __future__ import annotations

import html
import logging
import re
import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.urls import reverse

from example_project import standin_cloud
from example_project.standin.client import StandIn
from infisical_azure import rotation, rotation_upkeep, upkeep, watch
from infisical_azure.models import AppConnection, Rotation

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)
ORGANIZATION, OWNER, NAME, TENANT = "northwind-traders", "nora", "contoso", "contoso.com"
_UPKEEP_SECONDS = 10
_ONWARD = re.compile(r'href="([^"]+)" data-infisical-azure-continue')


def seed() -> None:
    """
    Connect one organization, read its directory, and begin a rotation.

    Anew at each start, as the stand-in begins anew. The other organization is left for
    people to connect themselves.
    """
    standin = StandIn(standin_cloud.URL)
    AppConnection.objects.filter(name=NAME, organization__slug=ORGANIZATION).delete()
    connection = _connect(standin)
    watch.watch_one(connection.pk)
    standin.directory(secret_lag=45)  # Long enough to be seen on its way.
    rotation.advance(_rotation(connection, standin).pk)
    standin.directory(secret_lag=5)


def _connect(standin: StandIn) -> AppConnection:
    """Walk the pages as the owner would."""
    browser = Client(SERVER_NAME="localhost")
    browser.force_login(User.objects.get(username=OWNER))
    page = reverse("infisical_azure:azure_connection_add", args=[ORGANIZATION])
    form = {"name": NAME, "tenant": TENANT, "method": "oauth"}
    answer = browser.post(page, {**form, "description": "Comes with the demo"})
    found = _ONWARD.search(answer.content.decode())
    if found is None:
        raise RuntimeError("The site did not lead to Microsoft.")
    back = urlsplit(standin.authorize(html.unescape(found[1]), "ada@contoso.com"))
    browser.get(f"{back.path}?{back.query}")
    return AppConnection.objects.get(name=NAME, organization__slug=ORGANIZATION)


def _rotation(connection: AppConnection, standin: StandIn) -> Rotation:
    found = standin.application(TENANT, "HR Portal")
    made = Rotation.objects.create(
        connection=connection,
        application_id=found["id"],
        app_id=found["appId"],
        application_name=found["displayName"],
        interval=timedelta(days=30),
        lifetime=timedelta(days=90),
        overlap=timedelta(days=3),
        created_by=User.objects.get(username=OWNER),
    )
    made.destinations.create(kind="key-vault", place="contoso-vault", name="hr-portal-secret")
    return made


@contextmanager
def kept_up() -> Iterator[None]:
    """Do meanwhile what three commands do on a site in earnest."""
    over = threading.Event()
    worker = threading.Thread(target=_keep_up, args=(over,), daemon=True)
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join(timeout=5)


def _keep_up(over: threading.Event) -> None:
    while not over.wait(_UPKEEP_SECONDS):
        try:
            upkeep.refresh_due(workers=1, stop=over)
            rotation_upkeep.rotate_due(workers=1, stop=over, patience=timedelta(0))
            watch.watch_due(stop=over)
        except Exception as error:  # noqa: BLE001  The demo goes on without.
            logger.warning("The work in the background failed: %s.", type(error).__name__)
        finally:
            connections.close_all()
