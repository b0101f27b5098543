"""The way back to the application: query, fragment or form_post."""

from __future__ import annotations

import re
from urllib.parse import quote_plus, urlsplit

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from .visits import Destination

Parameters = list[tuple[str, str]]


def encode(parameters: Parameters) -> str:
    """Form encoding with lower-case escapes, as Entra writes it."""
    text = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in parameters)
    return re.sub("%[0-9A-F]{2}", lambda escape: escape.group().lower(), text)


def send_back(
    request: HttpRequest, destination: Destination, parameters: Parameters
) -> HttpResponse:
    """Send the browser back; state is added unless the parameters already decide about it."""
    uri = destination.redirect_uri
    if destination.mode == "form_post":
        context = {"uri": uri, "parameters": parameters}
        return render(request, "standin/form_post.html", context)
    if not urlsplit(uri).path:
        uri += "/"
    if destination.mode == "fragment":
        location = f"{uri}#{encode(parameters)}"
    else:
        # Entra appends an empty fragment, so that an old one is not carried over.
        location = f"{uri}{'&' if '?' in uri else '?'}{encode(parameters)}#"
    return HttpResponse(status=302, headers={"Location": location})


def with_state(destination: Destination, parameters: Parameters) -> Parameters:
    if destination.state is None:
        return parameters
    return [*parameters, ("state", destination.state)]
