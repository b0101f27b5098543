"""Is this one of the application's redirect URIs?"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from .directory import Registration
from .errors import Refusal


def registered_redirect_uri(sent: str, app: Registration) -> str:
    """The address to answer to: exact and case sensitive, but any port of localhost."""
    if not sent:
        return app.redirect_uris[0]
    if any(_comparable(sent) == _comparable(uri) for uri in app.redirect_uris):
        return sent
    raise Refusal(50011, uri=sent, app=app.client_id)


def _comparable(uri: str) -> str:
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return uri
    if port is None or parts.netloc != f"localhost:{port}":
        return uri
    return urlunsplit(parts._replace(netloc="localhost"))
