"""A Celery application as a site has one; BROKER_URL names its Redis."""

from __future__ import annotations

import os

from celery import Celery

app = Celery("site", broker=os.environ.get("BROKER_URL", "memory://"), set_as_current=True)
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_prefetch_multiplier = 1
app.autodiscover_tasks(["infisical_azure"])
