"""The pages of a rotation: set it up, watch it, and act on it."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.views.generic import FormView, TemplateView

from . import limits, obstacles, rotation
from .activity import activity
from .application_views import ApplicationMixin, DirectoryMixin
from .forms import ConfirmForm
from .history import Act, record
from .models import Destination, RotatedSecret, Rotation, database
from .rotation_forms import DestinationForm, RotationForm, ScheduleForm

_TOLD = {
    "advanced": (messages.SUCCESS, _("A new client secret is delivered and in use.")),
    "waiting": (messages.INFO, _("The rotation has begun.")),
    "failed": (messages.ERROR, _("That failed. Why, and who must act, is said below.")),
    "skipped": (messages.INFO, _("It is being worked on. Look again in a minute.")),
}


def advance_and_tell(request: HttpRequest, pk: UUID) -> None:
    """Do what can be done now, and say how far that led."""
    level, message = _TOLD[rotation.advance(pk)]
    messages.add_message(request, level, message, fail_silently=True)


def _refuse_a_second(form: DestinationForm, organization: Model) -> None:
    """Ask the form once more, while nobody else can add a destination."""
    limits.lock(organization)
    form.refuse_a_second()


class RotationAddView(ApplicationMixin, FormView):
    """Set a rotation up, and make its first client secret."""

    permission = "manage_rotations"
    form_class = RotationForm
    template_name = "infisical_azure/rotation_add.html"

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "connection": self.connection}

    def form_valid(self, form: RotationForm) -> HttpResponse:
        made = Rotation(
            **form.schedule,
            connection=self.connection,
            application_id=self.application.id,
            app_id=self.application.app_id,
            application_name=self.application.name,
            created_by=cast("User", self.request.user),
            wanted_by=cast("User", self.request.user),
        )
        try:
            self._save(made, form)
        except limits.LimitReachedError as error:
            form.add_error(None, str(error.limit))
        except ValidationError as error:
            form.add_error(None, error)
        except IntegrityError:
            form.add_error(None, _("This application has a rotation through this connection."))
        else:
            advance_and_tell(self.request, made.pk)
            return redirect(self.url("rotation_detail", pk=self.connection.pk, rotation=made.pk))
        return self.form_invalid(form)

    def _save(self, made: Rotation, form: RotationForm) -> None:
        with transaction.atomic(using=database()):
            # A removal of the connection looks for rotations under the same lock.
            if not self.connection.lock():
                raise Http404
            made.save()
            limits.ROTATIONS.keep(self.organization)
            _refuse_a_second(form, self.organization)
            form.instance.rotation = made
            form.save()
            record(Act.ROTATION_ADDED, made, user=self.request.user)
            record(Act.DESTINATION_ADDED, form.instance, user=self.request.user)


class RotationMixin(DirectoryMixin):
    """A page of one rotation."""

    @cached_property
    def rotation(self) -> Rotation:
        rows = Rotation.objects.filter(connection=self.connection)
        found: Rotation = get_object_or_404(rows, pk=self.kwargs["rotation"])
        return found

    def respond(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return super().respond(request, *args, **kwargs)
        except Rotation.DoesNotExist as exc:  # Somebody has ended it meanwhile.
            raise Http404 from exc

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**{**kwargs, "rotation": self.rotation})

    def own_url(self) -> str:
        return self.url("rotation_detail", pk=self.connection.pk, rotation=self.rotation.pk)


def by_state(rotation: Rotation) -> dict[str, Any]:
    """Return a rotation's client secrets: in use, pending, and superseded."""
    found = list(rotation.secrets.exclude(state=RotatedSecret.State.REMOVED))
    return {
        "current": next((secret for secret in found if secret.state == secret.State.CURRENT), None),
        "pending": next((secret for secret in found if secret.state in secret.PENDING), None),
        "retiring": [secret for secret in found if secret.state == secret.State.RETIRING],
    }


class RotationDetailView(RotationMixin, TemplateView):
    """How far a rotation is, what it has made, and where that went."""

    template_name = "infisical_azure/rotation_detail.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            **kwargs,
            **activity(self.request, rotation_id=self.rotation.pk),
            **by_state(self.rotation),
            destinations=self.rotation.destinations.select_related("refers_to"),
            obstacle=obstacles.rotation_obstacle(self.rotation),
        )


class RotationActView(RotationMixin, TemplateView):
    """Rotate now, pause or resume."""

    permission = "manage_rotations"
    http_method_names = ["post"]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        match request.POST.get("act"):
            case "rotate":
                rotation.rotate_now(self.rotation, cast("User", request.user))
                advance_and_tell(request, self.rotation.pk)
                return redirect(self.own_url())
            case "pause":
                rotation.pause(self.rotation, cast("User", request.user))
                message = _("The rotation is paused.")
            case "resume":
                rotation.resume(self.rotation, cast("User", request.user))
                message = _("The rotation goes on.")
            case _unknown:
                raise Http404
        messages.success(request, message, fail_silently=True)
        return redirect(self.own_url())


class RotationEditView(RotationMixin, FormView):
    """Rotate more or less often."""

    permission = "manage_rotations"
    form_class = ScheduleForm
    template_name = "infisical_azure/rotation_edit.html"

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "rotation": self.rotation}

    def form_valid(self, form: ScheduleForm) -> HttpResponse:
        rotation.reschedule(self.rotation, **form.schedule, user=cast("User", self.request.user))
        messages.success(self.request, _("The rotation is changed."), fail_silently=True)
        return redirect(self.own_url())


class DestinationAddView(RotationMixin, FormView):
    """Deliver to one more place, from the next client secret on."""

    permission = "manage_rotations"
    form_class = DestinationForm
    template_name = "infisical_azure/destination_add.html"

    def get_form_kwargs(self) -> dict[str, Any]:
        own = {"connection": self.connection, "rotation": self.rotation}
        return {**super().get_form_kwargs(), **own}

    def form_valid(self, form: DestinationForm) -> HttpResponse:
        form.instance.rotation = self.rotation
        try:
            with rotation.changing(self.rotation):
                _refuse_a_second(form, self.organization)
                form.save()
                record(Act.DESTINATION_ADDED, form.instance, user=self.request.user)
        except ValidationError as error:
            form.add_error(None, error)
            return self.form_invalid(form)
        added = _("The destination is added. It gets the next client secret: rotate now, or wait.")
        messages.success(self.request, added, fail_silently=True)
        return redirect(self.own_url())


class DestinationRemoveView(RotationMixin, TemplateView):
    """Deliver to a place no longer; what was delivered there stays."""

    permission = "manage_rotations"
    template_name = "infisical_azure/destination_remove.html"

    @cached_property
    def destination(self) -> Destination:
        rows = Destination.objects.filter(rotation=self.rotation)
        found: Destination = get_object_or_404(rows, pk=self.kwargs["destination"])
        return found

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**{**kwargs, "destination": self.destination})

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not rotation.remove_destination(self.destination, cast("User", request.user)):
            return self.render_to_response(self.get_context_data())
        messages.success(request, _("The destination is removed."), fail_silently=True)
        return redirect(self.own_url())


class RotationRemoveView(RotationMixin, FormView):
    """End a rotation; the client secret in use stays valid until it expires."""

    permission = "manage_rotations"
    form_class = ConfirmForm
    template_name = "infisical_azure/rotation_remove.html"

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "expected": str(self.rotation)}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, **by_state(self.rotation))

    def form_valid(self, form: ConfirmForm) -> HttpResponse:
        if not rotation.end(self.rotation.pk, user=cast("User", self.request.user)):
            form.add_error(None, obstacles.NOT_ENDED)
            return self.form_invalid(form)
        ended = _("The rotation of %s is ended.") % form.expected
        messages.success(self.request, ended, fail_silently=True)
        return redirect(self.url("application_list", pk=self.connection.pk))
