"""The stand-in that TEST_STANDIN_URL names, as a cloud."""

from __future__ import annotations

import dataclasses
import os

from infisical_azure.clouds import PUBLIC

URL = os.environ.get("TEST_STANDIN_URL", "http://127.0.0.1:9")
STANDIN = dataclasses.replace(PUBLIC, authority=URL, graph=f"{URL}/graph")
