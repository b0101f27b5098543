"""A Celery application as a site has one; BROKER_URL names its Redis."""

from __future__ import annotations

import os

from celery import Celery
from sentry_sdk.integrations.celery import CeleryIntegration

from . import sentry

if "SENTRY_FILE" in os.environ:
    sentry.listen_into(CeleryIntegration())

app = Celery("site", broker=os.environ.get("BROKER_URL", "memory://"), set_as_current=True)
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_prefetch_multiplier = 1
app.autodiscover_tasks(["infisical_azure"])
