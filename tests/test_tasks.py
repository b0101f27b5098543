"""Upkeep as Celery tasks, run eagerly."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from infisical_azure.models import AppConnection, RefreshToken

from .celery_app import app
from .conftest import Browser
from .microsoft import Microsoft

tasks = pytest.importorskip("infisical_azure.tasks")
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def eager() -> Iterator[None]:
    app.conf.update(task_always_eager=True, task_eager_propagates=True)
    yield
    app.conf.update(task_always_eager=False, task_eager_propagates=False)


@pytest.fixture
def two_due(browser: Browser, microsoft: Microsoft) -> list[Any]:
    for name in ("first", "second", "third"):
        browser.connect(name=name)
    microsoft.requests.clear()
    made = AppConnection.objects.filter(name__in=["first", "second"])
    due_at = timezone.now() - timedelta(minutes=1)
    RefreshToken.objects.filter(connection__in=made).update(due_at=due_at)
    return [one.pk for one in made]


def test_task_refreshes_each_connection_that_is_due(
    two_due: list[Any], microsoft: Microsoft
) -> None:
    tasks.refresh_due.delay()
    assert microsoft.count("token") == 2
    tasks.refresh_due.delay()
    assert microsoft.count("token") == 2
    fences = RefreshToken.objects.filter(pk__in=two_due).values_list("fence", flat=True)
    assert list(fences) == [1, 1]


def test_task_that_runs_twice_refreshes_once(two_due: list[Any], microsoft: Microsoft) -> None:
    outcomes = [tasks.refresh_connection.delay(str(two_due[0])).get() for _ in range(2)]
    assert outcomes == ["refreshed", "skipped"]
    assert microsoft.count("token") == 1


def test_task_of_a_connection_that_is_gone_does_nothing(
    two_due: list[Any], microsoft: Microsoft
) -> None:
    AppConnection.objects.all().delete()
    assert tasks.refresh_connection.delay(str(two_due[0])).get() == "skipped"
    assert microsoft.requests == []


def test_task_outlives_its_worker() -> None:
    task = tasks.refresh_connection
    assert (task.acks_late, task.reject_on_worker_lost, task.ignore_result) == (True, True, True)
