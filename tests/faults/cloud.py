"""The stand-in that TEST_STANDIN_URL names, as a cloud."""

from __future__ import annotations

import dataclasses
import os

from infisical_azure.clouds import PUBLIC, Cloud


def at(url: str) -> Cloud:
    return dataclasses.replace(
        PUBLIC,
        authority=url,
        graph=f"{url}/graph",
        vaults=f"{url}/keyvault/{{name}}",
        stores=f"{url}/appconfig/{{name}}",
    )


URL = os.environ.get("TEST_STANDIN_URL", "http://127.0.0.1:9")
STANDIN = at(URL)
