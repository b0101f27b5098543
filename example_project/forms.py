"""What an owner or admin may change about an organization."""

from __future__ import annotations

from django import forms
from organizations.models import Organization


class OrganizationForm(forms.ModelForm):
    class Meta:
        model = Organization
        fields = ("name",)
        labels = {"name": "Organization name"}
        help_texts = {"name": "Shown to everybody in the organization."}
