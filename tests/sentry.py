"""Sentry as a site may have it at worst: all that its events show, nothing scrubbed or cut."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.scrubber import EventScrubber
from sentry_sdk.transport import Transport


class Kept(Transport):
    """Gives the events to a function, as JSON, instead of sending them."""

    def __init__(self, keep: Callable[[str], object]) -> None:
        super().__init__()
        self.keep = keep

    def capture_envelope(self, envelope: Envelope) -> None:
        for item in envelope.items:
            self.keep(json.dumps(item.payload.json, ensure_ascii=False))


def listen(keep: Callable[[str], object], *more: Any) -> None:
    """Have each event of this process kept; `more` are further integrations."""
    # The option that most sites have still.
    warnings.filterwarnings("ignore", "The send_default_pii option is deprecated")
    sentry_sdk.init(
        "https://key@sentry.example/1",
        transport=Kept(keep),
        integrations=[
            DjangoIntegration(middleware_spans=True),
            LoggingIntegration(level=0),
            *more,
        ],
        # An exception that is logged once more is an event once more.
        disabled_integrations=[DedupeIntegration()],
        send_default_pii=True,
        include_local_variables=True,
        max_request_body_size="always",
        max_value_length=10**9,
        max_breadcrumbs=1000,
        event_scrubber=EventScrubber(denylist=[], pii_denylist=[]),
        traces_sample_rate=1.0,
        _experiments={"record_sql_params": True},
    )
    # Nor are long or deep values cut.
    for name, value in (("BREADTH", 10**6), ("DEPTH", 10)):
        mock.patch(f"sentry_sdk.serializer.MAX_DATABAG_{name}", value).start()


def listen_into(*more: Any) -> None:
    """Have the events written to the file that SENTRY_FILE names, one a line."""
    path = Path(os.environ["SENTRY_FILE"])

    def keep(event: str) -> None:
        with path.open("a") as file:
            file.write(f"{event}\n")

    listen(keep, *more)


def stop() -> None:
    """Listen no more."""
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)
    mock.patch.stopall()
