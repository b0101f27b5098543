"""Microsoft's way back to the site."""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.db import Error as DatabaseError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_deny

from . import flow, problems
from .anew import is_interruption
from .conf import conf
from .exceptions import AuthorizationError, Fault, InfisicalAzureError
from .flow import Answer
from .history import Act, Outcome, record
from .host import get_host
from .models import AppConnection, Authorization, database
from .non_atomic import NonAtomicMixin
from .permissions import ASKED

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """What is kept of an exception: nothing that could hold a secret."""

    code: str
    fault: Fault | None
    detail: str


# Not LoginRequiredMiddleware's: it would put our URL, with the code, into the login page's.
@method_decorator([login_not_required, never_cache, xframe_options_deny], name="dispatch")
class OAuthCallbackView(NonAtomicMixin):
    """Finish the round trip, and always leave its URL, which holds the code."""

    http_method_names = ["get"]

    def get(self, request: HttpRequest) -> HttpResponse:
        try:
            response = self._finish(request)
        finally:
            flow.forget_answer(request)
        response["Referrer-Policy"] = "no-referrer"
        return response

    def _finish(self, request: HttpRequest) -> HttpResponse:
        authorization = None
        try:
            answer = flow.take_answer(request)
            authorization = _resume(request, answer)
            connection = flow.complete(authorization, answer)
        except Exception as error:
            if is_interruption(error):
                raise
            failure = _reduce(error)
        else:
            return _welcome(request, connection)
        # Outside of the handler: what fails from here on must not drag its frames along.
        return _explain(request, authorization, failure)

    def http_method_not_allowed(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        flow.forget_answer(request)
        return super().http_method_not_allowed(request, *args, **kwargs)


@method_decorator([login_not_required, never_cache, xframe_options_deny], name="dispatch")
class CallbackProblemView(View):
    """Tell what was wrong with an answer that belongs to nobody's round trip."""

    def get(self, request: HttpRequest, code: str) -> HttpResponse:
        problem = problems.CATALOGUE.get(code)
        if problem is None:
            raise Http404
        login_url = resolve_url(settings.LOGIN_URL) if code == "signed_out" else ""
        context = {
            "problem": problem,
            "login_url": login_url,
            "connections_url": "" if login_url else _tab_url(request),
        }
        return render(request, "infisical_azure/problem.html", context, status=problem.status)


def _tab_url(request: HttpRequest) -> str:
    """Return where the person set out lately; the tab itself asks what they may see."""
    own = Authorization.objects.filter(user=request.user.pk).select_related("organization")
    latest = own.order_by("-expires_at").first()
    if latest is None:
        return ""
    return reverse(
        "infisical_azure:connection_list", args=[get_host().get_key(latest.organization)]
    )


def _resume(request: HttpRequest, answer: Answer) -> Authorization:
    """Claim the authorization, and ask the host again: rights may have changed meanwhile."""
    if answer.is_admin_consent:
        raise AuthorizationError("approval_refused" if answer.fault else "approval_given")
    if not request.user.is_authenticated:
        raise AuthorizationError("signed_out")
    authorization = flow.resume(request, answer)
    host = get_host()
    organization = host.get_organization(request, host.get_key(authorization.organization))
    connection = authorization.connection
    permission = ASKED["add" if connection is None else "change"]
    is_same = organization.pk == authorization.organization.pk
    if not (is_same and host.has_permission(request.user, permission, organization, connection)):
        raise AuthorizationError("permission_lost")
    return authorization


def _reduce(error: Exception) -> _Failure:
    """Keep codes and ids; of an unforeseen error its place, since its text may hold anything."""
    detail = str(error)
    if not isinstance(error, InfisicalAzureError):
        lines = "".join(traceback.format_tb(error.__traceback__))
        detail = f"{type(error).__name__} at\n{lines}"
    code = problems.code_of(error, client_secret=conf.client_secret)
    return _Failure(code=code, fault=problems.fault_of(error), detail=detail)


def _welcome(request: HttpRequest, connection: AppConnection) -> HttpResponse:
    message = _("Azure connection %s is ready.")
    if connection.status != AppConnection.Status.READY:
        message = _("Azure connection %s is there, but a permission is missing.")
    messages.success(request, message % connection.name, fail_silently=True)
    key = get_host().get_key(connection.organization)
    url = reverse("infisical_azure:connection_list", args=[key])
    return HttpResponseRedirect(f"{url}?connected={connection.pk}", status=303)


def _note(authorization: Authorization, failure: _Failure) -> bool:
    """Tell the history; return False where the authorization itself is gone."""
    with transaction.atomic(using=database()):
        is_there = authorization.note_problem(failure.code, failure.fault)
        record(
            Act.SIGNED_IN,
            authorization,
            user=authorization.user,
            outcome=Outcome.FAILED,
            problem=failure.code,
            correlation_id=authorization.correlation_id,
        )
    return is_there


def _explain(
    request: HttpRequest, authorization: Authorization | None, failure: _Failure
) -> HttpResponse:
    is_ours = failure.code in {"unexpected", "storage_failed"}
    level = logging.ERROR if is_ours else logging.WARNING
    subject = authorization or "A callback"
    logger.log(level, "%s ended with %s: %s", subject, failure.code, failure.detail)
    try:
        is_kept = authorization is not None and _note(authorization, failure)
    except DatabaseError:
        # The host's own pages would fail too.
        context = {"problem": problems.find(failure.code)}
        return render(request, "infisical_azure/unavailable.html", context, status=503)
    if authorization is None or not is_kept:
        url = reverse("infisical_azure:azure_oauth_problem", args=[failure.code])
        return HttpResponseRedirect(url, status=303)
    key = get_host().get_key(authorization.organization)
    url = reverse("infisical_azure:problem", args=[key, authorization.pk])
    return HttpResponseRedirect(url, status=303)
