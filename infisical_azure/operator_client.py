"""The operator's registered application, as requests to Entra name it."""

from __future__ import annotations

from django.urls import reverse

from .conf import conf
from .entra import Client


def client() -> Client:
    """
    Return the operator's application, with the redirect URI from SITE_URL.

    Never from the request: its Host header is the sender's to choose.
    """
    return Client(
        client_id=conf.client_id,
        client_secret=conf.client_secret,
        redirect_uri=f"{conf.site_url}{reverse('infisical_azure:azure_oauth_callback')}",
    )
