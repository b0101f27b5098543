"""Connections in the Django admin: facts to read, nothing secret, nothing to add."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.formats import localize
from django.utils.translation import gettext_lazy as _

from . import health, obstacles, removal
from .history import Act, record
from .models import (
    AppConnection,
    HistoryEntry,
    RefreshToken,
    Rotation,
    database,
)
from .own_secret import own_secret_warning


class RotationInline(admin.TabularInline):
    """The rotations of a connection; its pages act on them."""

    model = Rotation
    can_delete = False
    max_num = 0
    fields = readonly_fields = (
        "application_name",
        "app_id",
        "interval",
        "due_at",
        "paused_at",
        "problem",
        "failing_since",
    )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AppConnection)
class AppConnectionAdmin(admin.ModelAdmin):
    inlines = (RotationInline,)
    list_display = (
        "name",
        "organization",
        "status",
        "directory",
        "account_username",
        "connected_by",
        "connected_at",
    )
    list_filter = ("status", "cloud", ("organization", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("organization", "connected_by")
    search_fields = (
        "name",
        "tenant_id",
        "tenant_name",
        "tenant_domain",
        "account_name",
        "account_username",
    )
    ordering = ("organization", "name")
    fields = (
        "organization",
        "name",
        "description",
        "status",
        "reason",
        "status_since",
        "correlation_id",
        "missing",
        "app",
        "method",
        "cloud",
        "tenant_id",
        "tenant_name",
        "tenant_domain",
        "account_name",
        "account_username",
        "account_object_id",
        "connected_by",
        "connected_at",
        "scopes",
        "access_tokens",
        "refresh_token_expires",
        "next_refresh",
        "watched_at",
    )
    # Everything but these is settled by the round trip at Microsoft.
    editable = ("name", "description")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Say no: only a person's consent at Microsoft makes a connection."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return tuple(name for name in self.fields if name not in self.editable)

    def get_queryset(self, request: HttpRequest) -> QuerySet[AppConnection]:
        return super().get_queryset(request).select_related("organization", "connected_by")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        expiry = own_secret_warning() if request.method == "GET" else None
        if expiry is not None:
            text = _("The client secret with which this site signs in at Microsoft: %(expiry)s.")
            self.message_user(request, text % {"expiry": expiry.text}, messages.WARNING)
        try:
            return super().changelist_view(request, extra_context)
        except removal.NotRemovedError as error:  # Something was begun since `_end`.
            return self._refuse(request, error)

    def save_model(self, request: HttpRequest, obj: AppConnection, form: Any, change: Any) -> None:
        if not obj.save_details():
            raise Http404
        if form.changed_data:
            before = form.initial["name"] if "name" in form.changed_data else ""
            record(Act.CONNECTION_EDITED, obj, user=request.user, name=before)

    def delete_model(self, request: HttpRequest, obj: AppConnection) -> None:
        removal.delete(obj, user=cast("User", request.user))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[AppConnection]) -> None:
        with transaction.atomic(using=database()):
            for connection in queryset:
                self.delete_model(request, connection)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        # Rotations are ended here: the deletion itself is a transaction, no place for calls.
        found = self.get_object(request, object_id) if request.POST else None
        if found is not None:
            _objects, _counts, lacking, protected = self.get_deleted_objects([found], request)
            is_refused = lacking or protected
            if not is_refused and not self._end(request, [found]):
                return redirect(request.path)
        try:
            return super().delete_view(request, object_id, extra_context)
        except removal.NotRemovedError as error:
            return self._refuse(request, error)

    def _refuse(self, request: HttpRequest, error: removal.NotRemovedError) -> HttpResponse:
        self.message_user(request, error.advice, messages.ERROR)
        return redirect(request.get_full_path())

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], Any, set[str], list[Any]]:
        found, counts, lacking, protected = super().get_deleted_objects(objs, request)
        if not request.POST.get("post"):
            self._tell_what_follows(request, objs)
            return found, counts, lacking, protected
        is_refused = lacking or protected
        if request.POST.get("action") and not is_refused and not self._end(request, objs):
            protected = [*protected, str(obstacles.NOT_ALL_ENDED)]
        return found, counts, lacking, protected

    def _tell_what_follows(self, request: HttpRequest, connections: Iterable[Any]) -> None:
        """Say on the page that asks for confirmation what ends and what stays in Azure."""
        for connection in connections:
            for made in connection.rotations.order_by("application_name", "pk"):
                text = _("The rotation of %s ends.") % made
                self.message_user(request, text, messages.WARNING)
            for secret in removal.what_stays(connection):
                self.message_user(request, secret.told, messages.WARNING)

    def _end(self, request: HttpRequest, connections: Iterable[AppConnection]) -> bool:
        """End what a deletion would leave behind in Azure; return False where that must wait."""
        is_ended = True
        for connection in connections:
            try:
                removal.end(connection, user=cast("User", request.user))
            except removal.NotRemovedError as error:
                is_ended = False
                self.message_user(request, f"{connection}: {error.advice}", messages.ERROR)
        return is_ended

    @admin.display(description=_("directory"), ordering="tenant_name")
    def directory(self, connection: AppConnection) -> str:
        return connection.tenant_name or str(connection.tenant_id)

    @admin.display(description=_("missing permissions"))
    def missing(self, connection: AppConnection) -> str:
        return ", ".join(p.name for p in connection.missing_permissions) or "-"

    @admin.display(description=_("granted permissions"))
    def scopes(self, connection: AppConnection) -> str:
        return ", ".join(connection.granted_scopes) or "-"

    @admin.display(description=_("reason"))
    def reason(self, connection: AppConnection) -> str:
        return str(health.reason_of(connection)) or "-"

    @admin.display(description=_("access tokens expire"))
    def access_tokens(self, connection: AppConnection) -> str:
        expiries = connection.access_tokens.values_list("resource", "expires_at", "used_at")
        return (
            "; ".join(
                _("%(resource)s: %(expires)s, last used %(used)s")
                % {"resource": resource, "expires": localize(at), "used": localize(used) or "-"}
                for resource, at, used in expiries
            )
            or "-"
        )

    @admin.display(description=_("refresh token expires"))
    def refresh_token_expires(self, connection: AppConnection) -> str:
        return self._of_refresh_token(connection, "expires_at")

    @admin.display(description=_("next refresh"))
    def next_refresh(self, connection: AppConnection) -> str:
        return self._of_refresh_token(connection, "due_at")

    @staticmethod
    def _of_refresh_token(connection: AppConnection, fact: str) -> str:
        rows = RefreshToken.objects.filter(connection=connection)
        return localize(rows.values_list(fact, flat=True).first()) or "-"


@admin.register(HistoryEntry)
class HistoryEntryAdmin(admin.ModelAdmin):
    """The history, to read only: for superusers, too."""

    list_display = (
        "at",
        "act",
        "outcome",
        "connection_name",
        "application_name",
        "name",
        "actor",
        "organization_id",
    )
    list_filter = ("act", "outcome")
    date_hierarchy = "at"
    show_full_result_count = False
    search_fields = (
        *("=organization_id", "connection_id", "connection_name", "=actor_id", "actor"),
        *("application_name", "key_id", "name", "rotation_id", "=correlation_id"),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Say no: an act makes its entry."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
