"""Upkeep by Celery workers over a real Redis, one of them killed half-way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db.models import Q
from django.utils import timezone

from example_project.standin.client import StandIn
from infisical_azure.models import RefreshToken

from ..services import find_program, redis
from .crowd import connect, environment, multiply

DUE = 2000
#: TEST_TOTAL_TIMEOUT of the workers, and 5 to spare.
LEASE = 15
EACH = 4  # Tasks at a time in each worker.
WORKER = ["worker", "--concurrency", str(EACH), "--loglevel", "ERROR", "--without-gossip"]


def celery(broker: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "tests.celery_app", "--quiet", *arguments],
        env=environment(BROKER_URL=broker, TEST_TOTAL_TIMEOUT="10", PYTHONWARNINGS="ignore"),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


@contextmanager
def worker(broker: str, name: str) -> Iterator[subprocess.Popen[bytes]]:
    process = celery(broker, *WORKER, "--hostname", f"{name}@%h")
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def beat(broker: str) -> None:
    """Do what Celery beat does every few minutes."""
    with celery(broker, "call", "infisical_azure.tasks.refresh_due") as call:
        assert call.wait(timeout=30) == 0


def left() -> int:
    """Count those that are due or being worked on: the new token is saved before the rest."""
    now = timezone.now()
    return RefreshToken.objects.filter(Q(due_at__lte=now) | Q(lease_until__gt=now)).count()


@pytest.mark.redis
@pytest.mark.postgresql
@pytest.mark.skipif(find_program("redis-server") is None, reason="redis-server is missing")
def test_2000_due_connections_are_refreshed_once_though_a_worker_is_killed(
    committed: None, standin: StandIn
) -> None:
    multiply(connect(standin), DUE)
    began, next_beat = time.monotonic(), 0.0
    with redis() as broker, worker(broker, "stays"), worker(broker, "dies") as victim:
        while left():
            assert time.monotonic() - began < 240, f"{left()} are left"
            if time.monotonic() > next_beat:
                beat(broker)
                # Long enough for what the killed one held to be free again.
                next_beat = time.monotonic() + 2 * LEASE
            if victim.poll() is None and left() < DUE / 2:
                os.killpg(victim.pid, signal.SIGKILL)
                victim.wait()
                in_hand = RefreshToken.objects.filter(lease_until__gt=timezone.now()).count()
            time.sleep(0.05)
        seconds = time.monotonic() - began
    fences = list(RefreshToken.objects.values_list("fence", flat=True))
    asked = sum(e.get("grant_type") == "refresh_token" for e in standin.token_requests())
    print(f"{DUE} in {seconds:.0f} s; {asked} requests, {in_hand} leases at the time of the kill")
    assert len(fences) == DUE
    assert not RefreshToken.objects.filter(failures__gt=0).exists()
    # Claimed once each, but for what the killed one had in hand: that had to be done again.
    again = sum(fence - 1 for fence in fences)
    assert set(fences) <= {1, 2}
    assert again <= EACH
    assert DUE <= asked <= DUE + again
