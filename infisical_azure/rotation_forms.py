"""The forms of a rotation: how often a client secret is replaced, and where it goes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from .conf import conf
from .forms import VERBATIM, OwnIds
from .models import AppConnection, Destination, Rotation, shortest_lifetime

Kind = Destination.Kind
_DAY = timedelta(days=1)
#: The choice that keeps the present value, where that is not a number of days.
_NOW = "now"


def _days(choice: str) -> int | str:
    return choice if choice == _NOW else int(choice)


class ScheduleForm(OwnIds, forms.Form):
    """How often a client secret is replaced, and how long each works."""

    interval = forms.TypedChoiceField(
        label=_("Replace it every"),
        coerce=_days,
        choices=[(7, _("7 days")), (30, _("30 days")), (90, _("90 days")), (180, _("180 days"))],
        initial=30,
    )
    overlap = forms.TypedChoiceField(
        label=_("Keep the old one valid for"),
        coerce=_days,
        choices=[(1, _("1 day")), (3, _("3 days")), (7, _("7 days")), (30, _("30 days"))],
        initial=3,
        help_text=_("Whatever uses it has that long to switch to the new one."),
    )
    lifetime = forms.TypedChoiceField(
        label=_("Lifetime"),
        coerce=_days,
        choices=[
            (0, _("As short as is safe")),
            (90, _("90 days")),
            (180, _("180 days")),
            (365, _("1 year")),
            (730, _("2 years")),
        ],
        help_text=_(
            "Each is valid for at least a week longer than it is used, should replacing it fail."
        ),
    )

    def __init__(self, *args: Any, rotation: Rotation | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.now = _schedule_of(rotation) if rotation else {}
        for name, value in self.now.items():
            field: Any = self.fields[name]
            days = value // _DAY
            label = ngettext("%(days)s day", "%(days)s days", days) % {"days": days}
            choice = (_NOW, str(value)) if value % _DAY else (days, label)
            self.initial[name] = choice[0]
            if choice[0] not in dict(field.choices):  # Chosen by code, which may choose any.
                field.choices = [*field.choices, choice]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if {"interval", "overlap", "lifetime"} <= cleaned.keys():
            schedule = self.schedule
            shortest = shortest_lifetime(schedule["interval"], schedule["overlap"])
            if schedule["lifetime"] < shortest:
                message = _("Too short for that: choose one of %(days)s days or more.")
                params = {"days": -(-shortest // _DAY)}
                self.add_error("lifetime", ValidationError(message, "too_short", params))
        return cleaned

    @property
    def schedule(self) -> dict[str, timedelta]:
        """The valid input, as `rotation.reschedule` takes it."""
        interval, overlap, lifetime = map(self._chosen, ("interval", "overlap", "lifetime"))
        lifetime = lifetime or shortest_lifetime(interval, overlap)
        return {"interval": interval, "overlap": overlap, "lifetime": lifetime}

    def _chosen(self, name: str) -> timedelta:
        chosen = self.cleaned_data[name]
        return self.now[name] if chosen == _NOW else timedelta(days=chosen)


def _schedule_of(rotation: Rotation) -> dict[str, timedelta]:
    now = {name: getattr(rotation, name) for name in ("interval", "overlap", "lifetime")}
    if rotation.lifetime == shortest_lifetime(rotation.interval, rotation.overlap):
        now["lifetime"] = timedelta(0)
    return now


class DestinationForm(OwnIds, forms.ModelForm):
    """Where a rotation delivers its client secrets to, from the next client secret on."""

    class Meta:
        model = Destination
        fields = ("kind", "place", "name", "label", "refers_to")
        labels = {"kind": _("Deliver it to"), "name": _("Secret or key")}
        help_texts = {
            "kind": _(
                "The connected account needs the role Key Vault Secrets Officer, or App "
                "Configuration Data Owner, there."
            ),
            "place": _("The name alone, such as “team-vault” for team-vault.vault.azure.net."),
            "name": _("What it is called there. What has this name already gets the new value."),
            "label": _("Only for App Configuration. Leave it empty where the key has none."),
            "refers_to": _("Only for a reference: the key then holds its address, and no value."),
        }
        error_messages = {
            "place": {"required": _("Enter the name of the vault or store.")},
            "name": {"required": _("Enter the name of the secret or key.")},
        }
        widgets = {name: forms.TextInput(attrs=VERBATIM) for name in ("place", "name", "label")}

    def __init__(
        self,
        *args: Any,
        connection: AppConnection,
        rotation: Rotation | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.connection = connection
        self.rotation = rotation
        without = set()
        vaults = Destination.objects.filter(rotation=rotation, kind=Kind.KEY_VAULT)
        if rotation is not None and vaults.exists():
            self.fields["refers_to"].queryset = vaults  # type: ignore[attr-defined]
            self.fields["refers_to"].initial = vaults.first()
        else:
            without.add(Kind.REFERENCE)
            del self.fields["refers_to"]
        hooks = conf.secret_hooks
        if hooks:
            self.fields["kind"].help_text += " " + _("This site itself needs no role.")
            names = ", ".join(sorted(hooks))
            self.fields["place"].help_text += " " + _("For this site: %s.") % names
        else:
            without.add(Kind.HOOK)
        kinds = [choice for choice in Kind.choices if choice[0] not in without]
        self.fields["kind"].choices = kinds  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        kind = cleaned.get("kind", "")
        in_store = kind in {Kind.APP_CONFIGURATION, Kind.REFERENCE}
        if not in_store:
            cleaned["label"] = ""
        if kind != Kind.REFERENCE:
            cleaned["refers_to"] = None
        elif not cleaned.get("refers_to"):
            self.add_error("refers_to", _("Choose the Key Vault secret that it refers to."))
        if not self.errors:
            self.refuse_a_second()
        return cleaned

    def refuse_a_second(self) -> None:
        """
        Refuse a destination that would overwrite another of the organization.

        Raises ValidationError, also where the destination that it refers to is gone.
        """
        kind, place, name, label = (
            self.cleaned_data.get(key, "") for key in ("kind", "place", "name", "label")
        )
        target = self.cleaned_data["refers_to"]
        if target and not Destination.objects.filter(pk=target.pk).exists():
            raise ValidationError(_("What it refers to was removed meanwhile."), "gone")
        if kind == Kind.HOOK:
            same = Q(rotation=self.rotation, kind=kind, place=place, name=name)
        elif kind == Kind.KEY_VAULT:
            same = Q(kind=kind, place__iexact=place, name__iexact=name)
        else:
            kinds = (Kind.APP_CONFIGURATION, Kind.REFERENCE)
            same = Q(kind__in=kinds, place__iexact=place, name=name, label=label)
        others = Destination.objects.filter(
            same,
            rotation__connection__organization=self.connection.organization_id,
            rotation__connection__cloud=self.connection.cloud,
        )
        found = others.select_related("rotation").first()
        if found is not None:
            message = _("The rotation of %(application)s delivers there already.")
            raise ValidationError(message, "taken", {"application": found.rotation})


class RotationForm(DestinationForm, ScheduleForm):
    """How often a client secret is replaced, and the first destination."""

    field_order = ("interval", "overlap", "lifetime", "kind", "place", "name", "label")
