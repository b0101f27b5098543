"""The App Connections pages of an organization's settings."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.decorators import method_decorator
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.csrf import csrf_protect
from django.views.generic import DetailView, FormView, TemplateView, UpdateView, View

from . import flow, health, problems, removal
from .activity import activity
from .conf import conf
from .connection_options import OPTIONS
from .forms import (
    AzureConnectionForm,
    ConfirmForm,
    ConnectionDetailsForm,
    ReconnectForm,
)
from .history import Act, Outcome, record
from .host import get_host
from .models import AppConnection, Authorization, database
from .non_atomic import NonAtomicMixin
from .own_secret import own_secret_warning
from .paging import page_of
from .permissions import ASKED
from .probe import probe
from .refusals import of_apis
from .resources import label_of
from .secret_pages import render_revealing
from .text import is_storable


class _Answers(dict[str, bool]):
    """The host's answers, each asked for when the page first needs it."""

    def __init__(self, ask: Callable[[str], bool]) -> None:
        self.ask = ask

    def __missing__(self, name: str) -> bool:
        self[name] = answer = self.ask(name)
        return answer


def refuse_unstorable(parts: dict[str, Any]) -> None:
    """Raise Http404 for text in a URL that PostgreSQL refuses to look for, such as NUL."""
    if not all(is_storable(part) for part in parts.values() if isinstance(part, str)):
        raise Http404


@method_decorator([csrf_protect, xframe_options_deny], name="dispatch")
class OrganizationMixin(View):
    """
    Find the organization of the URL and ask the host for `permission`.

    Anonymous people are sent to log in, strangers get 404 (the host raises it),
    members without the permission 403.
    """

    permission = "view"

    def find_connection(self) -> AppConnection | None:
        """Return the connection that the page is about, or None."""
        return None

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        refuse_unstorable(kwargs)
        super().setup(request, *args, **kwargs)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        self.host = get_host()
        self.organization = self.host.get_organization(request, str(kwargs["organization"]))
        if not self.may[self.permission]:
            raise PermissionDenied
        response = self.respond(request, *args, **kwargs)
        # What these pages show must not outlive a sign-out in the browser's cache.
        add_never_cache_headers(response)
        return response

    def respond(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Call the view's method for the request; the person may see the page."""
        return super().dispatch(request, *args, **kwargs)

    @cached_property
    def may(self) -> _Answers:
        """The host's answers about the page's connection, by the short names of `ASKED`."""
        user, connection = self.request.user, self.find_connection()
        return _Answers(
            lambda name: self.host.has_permission(user, ASKED[name], self.organization, connection)
        )

    def url(self, name: str, **kwargs: Any) -> str:
        key = self.host.get_key(self.organization)
        return reverse(f"infisical_azure:{name}", kwargs={"organization": key, **kwargs})

    def get_queryset(self) -> QuerySet[AppConnection]:
        return AppConnection.objects.of(self.organization).for_display()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        # These win over the URL's arguments, of which `organization` is the key.
        context = {
            **self.host.get_context_data(self.request, self.organization),
            "organization": self.organization,
            "organization_key": self.host.get_key(self.organization),
            "may": self.may,
            "many_clouds": len(conf.clouds) > 1,
        }
        return super().get_context_data(**kwargs | context)  # type: ignore[misc,no-any-return]


class ConnectionMixin(OrganizationMixin):
    """
    The pages of one connection, about which the host is asked.

    Members without the permission get 403, also for a connection that is not there.
    """

    @cached_property
    def found(self) -> AppConnection | None:
        return self.get_queryset().filter(pk=self.kwargs["pk"]).first()

    def find_connection(self) -> AppConnection | None:
        return self.found

    @property
    def connection(self) -> AppConnection:
        if self.found is None:
            raise Http404
        return self.found

    def get_object(self, queryset: QuerySet[AppConnection] | None = None) -> AppConnection:
        """Return the connection, for Django's generic views."""
        return self.connection

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**{**kwargs, "connection": self.connection})


class ConnectionListView(OrganizationMixin, TemplateView):
    """The App Connections tab."""

    template_name = "infisical_azure/connection_list.html"
    page_size = 50

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        page = page_of(self.get_queryset(), self.request, self.page_size)
        return super().get_context_data(
            **kwargs,
            connections=page.rows,
            connected_id=self.request.GET.get("connected", ""),
            previous_page=page.previous,
            next_page=page.next,
            own_secret=own_secret_warning() if self.may["change"] else None,
        )


def _health_of(connection: AppConnection) -> dict[str, Any]:
    return {"advice": health.advice_for(connection), "reason": health.reason_of(connection)}


class ConnectionDetailView(ConnectionMixin, DetailView):
    """One connection: whom it acts as, and what it may do."""

    template_name = "infisical_azure/connection_detail.html"
    context_object_name = "connection"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        connection = self.object
        held = connection.access_tokens.order_by("resource")
        cloud = conf.clouds.get(connection.cloud)
        resources = [(label_of(token.resource, cloud), token) for token in held]
        refused = [
            {
                "label": label_of(resource, cloud),
                "reason": health.REASONS[refusal.problem],
                "advice": health.advice_on(refusal.reaction),
                "correlation_id": refusal.correlation_id,
            }
            for resource, refusal in sorted(of_apis(connection).items())
        ]
        kwargs |= {"resources": resources, "refused": refused, **_health_of(connection)}
        missing = any(p.admin_consent for p in connection.missing_permissions)
        can_be_approved = missing or connection.problem == "consent_missing"
        link = flow.admin_consent_url(connection) if can_be_approved else ""
        kwargs |= activity(self.request, connection_id=connection.pk)
        return super().get_context_data(**kwargs, admin_consent_url=link)


class ConnectionOptionsView(OrganizationMixin, TemplateView):
    """Choose what to connect to."""

    permission = "add"
    template_name = "infisical_azure/connection_options.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        key = self.host.get_key(self.organization)
        options = [(option, reverse(option.url_name, args=[key])) for option in OPTIONS]
        return super().get_context_data(**kwargs, options=options)


class MicrosoftMixin(OrganizationMixin):
    """
    Send a person to Microsoft once the form is valid.

    The answer to a valid form is a page that goes on by itself: under a
    Content-Security-Policy of ``form-action 'self'`` browsers block a redirect.
    """

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        flow.mark_browser(request)
        return super().get(request, *args, **kwargs)  # type: ignore[misc,no-any-return]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, missing_settings=conf.missing_operator_settings)

    def form_valid(self, form: Any) -> HttpResponse:
        if conf.missing_operator_settings:
            return self.form_invalid(form)  # type: ignore[attr-defined,no-any-return]
        url = flow.begin(self.request, self.organization, form.wanted)
        return render_revealing(
            self.request,
            "infisical_azure/continue_to_microsoft.html",
            self.get_context_data(form=form),
            authorization_url=url,
        )


class AzureConnectionAddView(MicrosoftMixin, FormView):
    """Ask for name and tenant of a new connection."""

    permission = "add"
    form_class = AzureConnectionForm
    template_name = "infisical_azure/azure_connection_add.html"

    def get_initial(self) -> dict[str, Any]:
        """Fill in again what was typed for a round trip that failed."""
        earlier = self._earlier_authorization()
        if earlier is None:
            return {}
        return {
            "name": earlier.name,
            "description": earlier.description,
            "tenant": str(earlier.tenant_id),
            "cloud_name": earlier.cloud,
        }

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "organization": self.organization}

    def _earlier_authorization(self) -> Authorization | None:
        try:
            pk = uuid.UUID(self.request.GET.get("again", ""))
        except ValueError:
            return None
        own = Authorization.objects.filter(
            user=self.request.user.pk, organization=self.organization
        )
        return own.filter(pk=pk).first()


class ConnectionReconnectView(ConnectionMixin, MicrosoftMixin, FormView):
    """Make the round trip again for a connection that is there: id, name and history stay."""

    permission = "change"
    form_class = ReconnectForm
    template_name = "infisical_azure/connection_reconnect.html"

    def get_initial(self) -> dict[str, Any]:
        return {"tenant": str(self.connection.tenant_id)}

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "instance": self.connection}

    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic(using=database()):
            if not self.connection.lock():  # Removed while the tenant was looked up.
                raise Http404
            return super().form_valid(form)


class ConnectionTestView(NonAtomicMixin, ConnectionMixin, TemplateView):
    """Call every resource of a connection now, and show how it went."""

    permission = "change"
    template_name = "infisical_azure/connection_test.html"
    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        results = probe(self.connection)
        failed = next((result for result in results if result.reason), None)
        record(
            Act.CONNECTION_TESTED,
            self.connection,
            user=request.user,
            outcome=Outcome.FAILED if failed else Outcome.DONE,
            problem=failed.problem if failed else "",
            correlation_id=failed.correlation_id if failed else "",
        )
        del self.found  # It is read anew: somebody may have removed it meanwhile.
        return self.render_to_response(self.get_context_data(results=results))


class ProblemView(OrganizationMixin, TemplateView):
    """Tell the person whose round trip failed what happened and what to do."""

    template_name = "infisical_azure/problem.html"

    @cached_property
    def authorization(self) -> Authorization | None:
        own = Authorization.objects.filter(
            user=self.request.user.pk, organization=self.organization
        )
        failed = own.exclude(problem="").select_related("connection")
        return failed.filter(pk=self.kwargs["pk"]).first()

    def find_connection(self) -> AppConnection | None:
        return self.authorization.connection if self.authorization else None

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        authorization = self.authorization
        if authorization is None:
            raise Http404
        problem = problems.find(authorization.problem)
        context = self.get_context_data(
            authorization=authorization,
            problem=problem,
            admin_consent_url=flow.admin_consent_url(authorization)
            if problem.admin_consent
            else "",
        )
        return self.render_to_response(context)


class ConnectionUpdateView(ConnectionMixin, UpdateView):
    """Change name and description."""

    permission = "change"
    form_class = ConnectionDetailsForm
    template_name = "infisical_azure/connection_edit.html"
    context_object_name = "connection"

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "organization": self.organization}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        # The form has put what was typed on the instance; the heading keeps the saved name.
        saved_name = kwargs.get("form", self.get_form()).initial["name"]
        return super().get_context_data(**kwargs, saved_name=saved_name)

    def form_valid(self, form: Any) -> HttpResponse:
        try:
            with transaction.atomic(using=database()):
                if not self.object.save_details():
                    raise Http404
                if form.changed_data:
                    before = form.initial["name"] if "name" in form.changed_data else ""
                    record(Act.CONNECTION_EDITED, self.object, user=self.request.user, name=before)
        except IntegrityError:  # Somebody took the name since the form looked.
            form.add_error("name", form.name_taken())
            return self.form_invalid(form)
        return redirect(self.get_success_url())

    def get_success_url(self) -> str:
        message = _("The changes to %s are saved.") % self.object.name
        messages.success(self.request, message, fail_silently=True)
        return self.url("connection_detail", pk=self.object.pk)


class ConnectionRemoveView(NonAtomicMixin, ConnectionMixin, FormView):
    """Delete a connection with all its tokens."""

    permission = "delete"
    form_class = ConfirmForm
    template_name = "infisical_azure/connection_remove.html"

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "expected": self.connection.name}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        cloud = conf.clouds.get(self.connection.cloud)
        link = cloud.application_url(conf.client_id) if cloud else ""
        return super().get_context_data(
            **kwargs,
            application_url=link,
            rotations=self.connection.rotations.order_by("application_name", "pk"),
            staying=removal.what_stays(self.connection),
        )

    def form_valid(self, form: ConfirmForm) -> HttpResponse:
        text = _("The connection %s is removed.")
        try:
            removal.remove(self.connection, user=cast("User", self.request.user))
        except removal.RemovedBeforeError:
            text = _("Somebody else has removed the connection %s.")
        except removal.NotRemovedError as error:
            form.add_error(None, error.advice)
            return self.form_invalid(form)
        messages.success(self.request, text % form.expected, fail_silently=True)
        return super().form_valid(form)

    def get_success_url(self) -> str:
        return self.url("connection_list")
