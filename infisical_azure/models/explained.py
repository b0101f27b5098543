"""What is remembered of a failure."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from ..exceptions import Fault


class Explained(models.Model):
    """A row that says why something failed; nothing of it is secret."""

    problem = models.CharField(_("problem"), max_length=64, blank=True)
    aadsts = models.PositiveIntegerField(_("AADSTS number"), null=True, editable=False)
    correlation_id = models.CharField(_("correlation ID"), max_length=64, blank=True)
    trace_id = models.CharField(_("trace ID"), max_length=64, blank=True)

    EXPLANATION = ("problem", "aadsts", "correlation_id", "trace_id")

    class Meta:
        abstract = True

    def explain(self, code: str, fault: Fault | None) -> None:
        """Take over a problem's code and the ids for support; the caller saves."""
        self.problem = code
        self.aadsts = fault.aadsts if fault else None
        self.correlation_id = fault.correlation_id if fault else ""
        self.trace_id = fault.trace_id if fault else ""
