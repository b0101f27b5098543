"""Test a connection: one live call for each resource that it has."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Q, QuerySet
from django.utils import timezone

from . import problems, tokens
from .conf import conf
from .exceptions import RemoteError, TokenUnavailableError
from .health import REASONS
from .models import AccessToken, AppConnection
from .on_behalf import on_behalf_of
from .refusals import of_apis
from .resources import label_of

_AT_MOST_EVERY = timedelta(seconds=30)
_RUNNING = "running"
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How the live call for one resource went; `reason` is empty when it worked."""

    label: str
    reason: str
    problem: str = ""
    """The code of the reason."""
    correlation_id: str = ""


def probe(connection: AppConnection) -> list[Result]:
    """
    Call every resource now: Graph's ``/me``, and a fresh token for each other one.

    The order is Graph first, then the resources that tokens were asked for. Each is
    called once in half a minute, whoever asks: until then its last result is returned.
    """
    try:
        cloud = connection.find_cloud()
    except ImproperlyConfigured:
        code = "cloud_disabled"
        return [Result(label=connection.cloud, reason=str(REASONS[code]), problem=code)]
    held = AccessToken.objects.filter(connection=connection)
    asked_for = {*held.values_list("resource", flat=True), *of_apis(connection)}
    known = asked_for | {cloud.graph_audience}
    audiences = sorted(known, key=lambda audience: (audience != cloud.graph_audience, audience))
    return [_probe(connection, audience) for audience in audiences]


def _probe(connection: AppConnection, audience: str) -> Result:
    """Test one resource, or take over the result of who has just done it."""
    rows = AccessToken.objects.filter(connection=connection, resource=audience)
    if not _claim(rows) and (tested := _await_result(rows)) is not None:
        problem, correlation_id = tested.test_problem, tested.test_correlation_id
    else:
        problem, correlation_id = _call(connection, audience)
        rows.update(test_problem=problem, test_correlation_id=correlation_id)
    reason = REASONS.get(problem) or problems.find(problem).title
    return Result(
        label=label_of(audience, connection.find_cloud()),
        reason=str(reason) if problem else "",
        problem=problem,
        correlation_id=correlation_id,
    )


def _claim(rows: QuerySet[AccessToken]) -> bool:
    """Take the right to test for half a minute: one UPDATE decides."""
    now = timezone.now()
    is_due = Q(tested_at=None) | Q(tested_at__lte=now - _AT_MOST_EVERY)
    return bool(rows.filter(is_due).update(tested_at=now, test_problem=_RUNNING))


def _await_result(rows: QuerySet[AccessToken]) -> AccessToken | None:
    """Wait for who tests it at the moment; return None where nobody does or nothing comes."""
    give_up = time.monotonic() + conf.total_timeout / 2
    while (tested := rows.first()) is not None and tested.test_problem == _RUNNING:
        if time.monotonic() > give_up:
            return None
        time.sleep(_POLL_SECONDS)
    return tested


def _call(connection: AppConnection, audience: str) -> tuple[str, str]:
    """Make the live call; return the code of its problem and the correlation id."""
    try:
        if audience == connection.find_cloud().graph_audience:
            on_behalf_of(connection, lambda graph: graph.me())
        else:
            tokens.get_token(connection, f"{audience}/.default", is_live=True)
    except TokenUnavailableError as error:
        return error.problem, error.correlation_id
    except RemoteError as error:
        code = problems.code_of(error, client_secret=conf.client_secret)
        return code, error.fault.correlation_id
    return "", ""
