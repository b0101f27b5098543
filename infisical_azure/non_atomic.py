"""Views whose every step is committed, also under ATOMIC_REQUESTS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connections, transaction
from django.http.response import HttpResponseBase
from django.views.generic import View


class NonAtomicMixin(View):
    """A view that must remember what it has asked Microsoft for, even if it is killed."""

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:
        """Exempt the view from ATOMIC_REQUESTS."""
        view = super().as_view(**initkwargs)
        for alias in connections:
            view = transaction.non_atomic_requests(using=alias)(view)
        return view
