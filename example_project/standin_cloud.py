"""The stand-in for Microsoft's cloud, as a cloud."""

from __future__ import annotations

import dataclasses

from example_project.environment import env
from infisical_azure.clouds import PUBLIC

PORT = env.int("DEMO_STANDIN_PORT", default=8001)
URL = env.str("DEMO_STANDIN_URL", default="") or f"http://127.0.0.1:{PORT}"

STANDIN = dataclasses.replace(
    PUBLIC,
    authority=URL,
    graph=f"{URL}/graph",
    vaults=f"{URL}/keyvault/{{name}}",
    stores=f"{URL}/appconfig/{{name}}",
)
