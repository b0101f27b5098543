"""Microsoft's way back to the site."""

from __future__ import annotations

import logging
import traceback

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views import View

from . import flow, problems
from .conf import conf
from .exceptions import AuthorizationError, InfisicalAzureError
from .flow import Answer
from .host import get_host
from .models import AppConnection, Authorization
from .problems import Problem

logger = logging.getLogger(__name__)


# Not LoginRequiredMiddleware's: it would put our URL, with the code, into the login page's.
@method_decorator(login_not_required, name="dispatch")
# Not ATOMIC_REQUESTS': the claim must be committed before the code is redeemed.
@method_decorator(transaction.non_atomic_requests, name="dispatch")
class OAuthCallbackView(View):
    """Finish the round trip, and always leave its URL, which holds the code."""

    http_method_names = ["get"]

    def get(self, request: HttpRequest) -> HttpResponse:
        authorization = None
        outcome: AppConnection | Exception
        try:
            answer = flow.take_answer(request)
            authorization = _resume(request, answer)
            outcome = flow.complete(authorization, answer)
        except Exception as error:  # noqa: BLE001
            # Whatever it is: the report of an uncaught one would show code and tokens,
            # which are in the frames of the libraries that we called.
            outcome = error
        # Outside of the handler: what fails from here on must not drag those frames along.
        flow.forget_answer(request)
        if isinstance(outcome, AppConnection):
            response = _welcome(request, outcome)
        else:
            response = _explain(request, authorization, outcome)
        response["Referrer-Policy"] = "no-referrer"
        add_never_cache_headers(response)
        return response


def _resume(request: HttpRequest, answer: Answer) -> Authorization:
    """Claim the authorization, and ask the host again: rights may have changed meanwhile."""
    if answer.is_admin_consent:
        raise AuthorizationError("approval_refused" if answer.fault else "approval_given")
    if not request.user.is_authenticated:
        raise AuthorizationError("signed_out")
    authorization = flow.resume(request, answer)
    host = get_host()
    organization = host.get_organization(request, host.get_key(authorization.organization))
    if not host.has_permission(request.user, "infisical_azure.add_appconnection", organization):
        raise AuthorizationError("permission_lost")
    return authorization


def _welcome(request: HttpRequest, connection: AppConnection) -> HttpResponse:
    message = _("Azure connection %s is ready.")
    if connection.status != AppConnection.Status.READY:
        message = _("Azure connection %s is there, but a permission is missing.")
    messages.success(request, message % connection.name, fail_silently=True)
    key = get_host().get_key(connection.organization)
    url = reverse("infisical_azure:connection_list", args=[key])
    return HttpResponseRedirect(f"{url}?connected={connection.pk}", status=303)


def _explain(
    request: HttpRequest, authorization: Authorization | None, error: Exception
) -> HttpResponse:
    code = problems.code_of(error, client_secret=conf.client_secret)
    problem, fault = problems.find(code), problems.fault_of(error)
    _log(authorization, code, error)
    if authorization is None:
        return _render(request, problem)
    try:
        authorization.note_problem(code, fault)
    except DatabaseError:
        # The host's own pages would fail too.
        return render(request, "infisical_azure/unavailable.html", {"problem": problem}, status=503)
    key = get_host().get_key(authorization.organization)
    url = reverse("infisical_azure:problem", args=[key, authorization.pk])
    return HttpResponseRedirect(url, status=303)


def _render(request: HttpRequest, problem: Problem) -> HttpResponse:
    """Show a problem that belongs to no organization."""
    login_url = resolve_url(settings.LOGIN_URL) if problem.code == "signed_out" else ""
    context = {"problem": problem, "login_url": login_url}
    return render(request, "infisical_azure/problem.html", context, status=problem.status)


def _log(authorization: Authorization | None, code: str, error: Exception) -> None:
    """Log ids and codes; of an unforeseen error its place, since its text may hold anything."""
    if isinstance(error, InfisicalAzureError):
        detail = str(error)
    else:
        lines = "".join(traceback.format_tb(error.__traceback__))
        detail = f"{type(error).__name__} at\n{lines}"
    level = logging.ERROR if code in {"unexpected", "storage_failed"} else logging.WARNING
    logger.log(level, "%s ended with %s: %s", authorization or "A callback", code, detail)
