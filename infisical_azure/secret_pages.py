"""Pages that show a secret, which no failure on the way carries out in a frame."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from .anew import raising_anew
from .secret import Secret


@raising_anew
def render_revealing(
    request: HttpRequest, template: str, context: dict[str, Any], **secrets: Secret
) -> HttpResponse:
    """Render a template with these secrets revealed in its context."""
    revealed = {name: secret.reveal() for name, secret in secrets.items()}
    return render(request, template, {**context, **revealed})
