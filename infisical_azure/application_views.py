"""The pages of a directory's applications and their client secrets."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from django.contrib import messages
from django.core import signing
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.views.generic import FormView, TemplateView, View

from . import applications, issuing, limits, obstacles
from .activity import activity
from .exceptions import Reaction, RemoteError, TokenUnavailableError
from .expiry import Expiry, Level, expiry_of, next_end
from .forms import ConfirmForm, SecretAddForm, SecretSavedForm
from .graph import Application, ClientSecret
from .history import Act, Attempt, record
from .models import IssuedSecret, IssuedValue, RotatedSecret, Rotation
from .non_atomic import NonAtomicMixin
from .own_secret import is_own_secret
from .problems import Problem
from .secret_pages import render_revealing
from .text import displayable
from .views import ConnectionMixin, OrganizationMixin

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_FAILURES = (RemoteError, TokenUnavailableError)
_NEXT_LASTS = timedelta(hours=1)


class DirectoryMixin(NonAtomicMixin, ConnectionMixin):
    """A page that is made from what Microsoft Graph answers now, or says why it isn't."""

    #: What was begun, once it was.
    attempt: Attempt | None = None

    def respond(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return super().respond(request, *args, **kwargs)
        except _FAILURES as error:
            return self.render_failure(error)

    def _is_gone(self, error: RemoteError | TokenUnavailableError) -> bool:
        return isinstance(error, RemoteError) and error.fault.http_status == 404

    def render_failure(self, error: RemoteError | TokenUnavailableError) -> HttpResponse:
        fault = error.fault if isinstance(error, RemoteError) else error
        is_uncertain = self.attempt is not None and applications.may_have_happened(error)
        is_gone = self._is_gone(error)
        is_post = self.request.method == "POST"
        # Neither an application that is gone nor Graph's link to a page comes back.
        is_over = is_gone or "after" in self.request.GET
        return self.render_obstacle(
            obstacles.UNCERTAIN if is_uncertain else obstacles.obstacle_of(error),
            status=404 if is_gone else 502,
            correlation_id=fault.correlation_id,
            is_without_access=(
                isinstance(error, TokenUnavailableError) and error.reaction != Reaction.RETRY
            ),
            again="" if is_post or is_over else self.request.get_full_path(),
        )

    def render_obstacle(self, obstacle: Problem, *, status: int, **facts: Any) -> HttpResponse:
        context = {
            **self.host.get_context_data(self.request, self.organization),
            "organization": self.organization,
            "organization_key": self.host.get_key(self.organization),
            "connection": self.connection,
            "application_id": (
                self.kwargs.get("application") if self.request.method == "POST" else None
            ),
            "obstacle": obstacle,
            **facts,
        }
        return render(self.request, "infisical_azure/obstacle.html", context, status=status)


class ApplicationListView(DirectoryMixin, TemplateView):
    """The directory's applications, a page at a time, as Graph pages them."""

    template_name = "infisical_azure/application_list.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        search = displayable(self.request.GET.get("search", "")).strip()
        page = applications.list_applications(
            self.connection, search, next_link=self._next_link(search)
        )
        now = timezone.now()
        rows = [(one, *_at_a_glance(one, now)) for one in page.applications]
        after = signing.dumps(page.next_link, salt=self._salt(search), compress=True)
        return super().get_context_data(
            **kwargs,
            rows=rows,
            search=search,
            is_first="after" not in self.request.GET,
            after=after if page.next_link else "",
        )

    def _next_link(self, search: str) -> str:
        """Return Graph's link to the page that is asked for; only we can have written it."""
        signed = self.request.GET.get("after", "")
        if not signed:
            return ""
        try:
            return str(signing.loads(signed, salt=self._salt(search), max_age=_NEXT_LASTS))
        except signing.SignatureExpired:
            return ""  # Graph's links don't last either: begin anew.
        except signing.BadSignature:
            raise Http404 from None

    def _salt(self, search: str) -> str:
        return f"infisical_azure.next.{self.connection.pk}.{search}"


def _at_a_glance(application: Application, now: datetime) -> tuple[Expiry | None, int]:
    """Return when the next client secret expires, and how many have expired."""
    ends = [secret.expires_at for secret in application.secrets]
    expired = sum(expiry_of(end, now).level == Level.EXPIRED for end in ends)
    return (expiry_of(next_end(ends, now), now) if ends else None), expired


class ApplicationMixin(DirectoryMixin):
    """A page of one application."""

    @cached_property
    def application(self) -> Application:
        return applications.find_application(self.connection, self.kwargs["application"])

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**{**kwargs, "application": self.application})

    def get_success_url(self) -> str:
        return self.url(
            "application_detail", pk=self.connection.pk, application=self.application.id
        )


class ApplicationDetailView(ApplicationMixin, TemplateView):
    """One application with its client secrets, and what this site did to them."""

    template_name = "infisical_azure/application_detail.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        of_both = {"connection_id": self.connection.pk, "application_id": self.application.id}
        ours = IssuedSecret.objects.filter(**of_both, key_id__isnull=False)
        issued_here = set(ours.values_list("key_id", flat=True))
        now = timezone.now()
        rotation = Rotation.objects.filter(
            connection=self.connection, application_id=self.application.id
        ).first()
        made = {one.key_id: one for one in rotation.secrets.all()} if rotation else {}
        rows = [
            (
                secret,
                expiry_of(secret.expires_at, now),
                secret.key_id in issued_here,
                made.get(secret.key_id),
            )
            for secret in self.application.secrets
        ]
        return super().get_context_data(
            **kwargs,
            rows=rows,
            **activity(self.request, **of_both),
            rotation=rotation,
        )


class SecretAddView(ApplicationMixin, FormView):
    """Issue a client secret and show it; the same form shows the same one for a minute."""

    permission = "manage_client_secrets"
    form_class = SecretAddForm
    template_name = "infisical_azure/secret_add.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, attempt=uuid.uuid4())

    def form_valid(self, form: SecretAddForm) -> HttpResponse:
        wish = issuing.Wish(
            key=form.cleaned_data["attempt"],
            connection=self.connection,
            user=cast("User", self.request.user),
            application_id=self.kwargs["application"],
            name=form.cleaned_data["name"],
            lifetime=timedelta(days=form.cleaned_data["lifetime"]),
        )
        try:
            value = issuing.find(wish) or issuing.issue(wish, self.application)
        except limits.LimitReachedError as error:
            form.add_error(None, str(error.limit))
            return self.form_invalid(form)
        except issuing.SpentError:
            return self.render_obstacle(obstacles.SPENT, status=409)
        except issuing.UnderWayError:
            return self.render_obstacle(obstacles.UNDER_WAY, status=409)
        except issuing.UncertainError as error:
            return self.render_obstacle(
                obstacles.UNCERTAIN_ISSUE, status=502, correlation_id=error.correlation_id
            )
        except issuing.ConnectionGoneError as error:
            return self._leave(error)
        except RemoteError as error:
            obstacle = obstacles.obstacle_of(error)
            if obstacle.code not in obstacles.OF_LIFETIME:
                raise
            form.add_error("lifetime", f"{obstacle.title}. {obstacle.next_step}")
            return self.form_invalid(form)
        record(
            Act.SECRET_SHOWN,
            self.connection,
            user=wish.user,
            application_id=value.of.application_id,
            application_name=value.of.application_name,
            key_id=value.of.key_id,
            name=value.of.name,
        )
        # Not from the directory, which a second click need not ask.
        context = OrganizationMixin.get_context_data(
            self, connection=self.connection, issued=value.of, value=value.secret
        )
        return render_revealing(self.request, "infisical_azure/secret_issued.html", context)

    def _leave(self, error: issuing.ConnectionGoneError) -> HttpResponse:
        message = _("The connection was removed meanwhile. No client secret was left in Azure.")
        if error.left is not None:
            message = _(
                "The connection was removed while the client secret was issued. Remove it in the "
                "Azure portal: application %(application)s, key ID %(key)s."
            ) % {"application": error.left.app_id, "key": error.left.key_id}
        messages.error(self.request, message, fail_silently=True)
        return redirect(self.url("connection_list"))


class SecretSavedView(ConnectionMixin, View):
    """Delete the value of a client secret that its person has saved elsewhere."""

    permission = "manage_client_secrets"
    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = SecretSavedForm(request.POST)
        if form.is_valid():
            shown = IssuedValue.objects.filter(user=request.user.pk, of__connection=self.connection)
            shown.filter(pk=form.cleaned_data["attempt"]).delete()
        return redirect(
            self.url("application_detail", pk=self.connection.pk, application=kwargs["application"])
        )


class SecretRemoveView(ApplicationMixin, FormView):
    """Remove a client secret once its name is typed."""

    permission = "manage_client_secrets"
    form_class = ConfirmForm
    template_name = "infisical_azure/secret_remove.html"

    @cached_property
    def secret(self) -> ClientSecret:
        for secret in self.application.secrets:
            if secret.key_id == self.kwargs["key"]:
                return secret
        raise Http404

    def get_form_kwargs(self) -> dict[str, Any]:
        # One without a name is confirmed by the first group of its id.
        expected = self.secret.name or str(self.secret.key_id)[:8]
        return {**super().get_form_kwargs(), "expected": expected}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            **kwargs,
            secret=self.secret,
            expiry=expiry_of(self.secret.expires_at, timezone.now()),
            is_own=is_own_secret(self.application, self.secret),
            is_rotated=self._is_rotated(),
        )

    def _is_rotated(self) -> bool:
        # Also by another connection of the organization to the same directory.
        rows = RotatedSecret.objects.filter(rotation__connection__organization=self.organization)
        in_use = rows.exclude(state=RotatedSecret.State.REMOVED)
        return in_use.filter(key_id=self.secret.key_id).exists()

    def form_valid(self, form: ConfirmForm) -> HttpResponse:
        self.attempt = Attempt(
            act=Act.SECRET_REMOVED,
            connection=self.connection,
            user=self.request.user,
            application_id=self.application.id,
            application_name=self.application.name,
            name=self.secret.name,
            key_id=self.secret.key_id,
        )
        applications.remove_secret(self.attempt)
        IssuedSecret.objects.note_removed(self.connection, self.secret.key_id)
        message = _("The client secret %s is removed.") % form.expected
        messages.success(self.request, message, fail_silently=True)
        return super().form_valid(form)
