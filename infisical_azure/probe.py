"""Test a connection: one live call for each resource that it has."""

from __future__ import annotations

from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured

from . import problems, tokens
from .conf import conf
from .exceptions import RemoteError, TokenUnavailableError
from .health import REASONS
from .models import AccessToken, AppConnection
from .on_behalf import on_behalf_of
from .resources import label_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How the live call for one resource went; `reason` is empty when it worked."""

    label: str
    reason: str
    correlation_id: str = ""


def probe(connection: AppConnection) -> list[Result]:
    """
    Call every resource now: Graph's ``/me``, and a fresh token for each other one.

    The order is Graph first, then the resources that tokens were asked for.
    """
    try:
        cloud = connection.find_cloud()
    except ImproperlyConfigured:
        return [Result(label=connection.cloud, reason=str(REASONS["cloud_disabled"]))]
    held = AccessToken.objects.filter(connection=connection)
    known = set(held.values_list("resource", flat=True)) | {cloud.graph_audience}
    audiences = sorted(known, key=lambda audience: (audience != cloud.graph_audience, audience))
    return [_probe(connection, audience) for audience in audiences]


def _probe(connection: AppConnection, audience: str) -> Result:
    cloud = connection.find_cloud()
    label = label_of(audience, cloud)
    is_graph = audience == cloud.graph_audience
    try:
        if is_graph:
            on_behalf_of(connection, lambda graph: graph.me())
        else:
            tokens.get_token(connection, f"{audience}/.default", is_live=True)
    except TokenUnavailableError as error:
        reason = REASONS.get(error.problem, error.problem)
        return Result(label=label, reason=str(reason), correlation_id=error.correlation_id)
    except RemoteError as error:
        reason = problems.find(problems.code_of(error, client_secret=conf.client_secret)).title
        return Result(label=label, reason=str(reason), correlation_id=error.fault.correlation_id)
    return Result(label=label, reason="")
