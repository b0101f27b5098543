"""Claims challenges: what an API or Entra wants to be proven at the next sign-in."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

_PARAMETER = re.compile(r'\bclaims="([\w+/=-]{1,4096})"')
# They travel in a URL.
_LONGEST = 2000
_MOST_BRACKETS = 100


def challenge_in(headers: Mapping[str, str]) -> str:
    """Return the challenge, JSON, with which an API rejects a token, or nothing."""
    found = _PARAMETER.search(headers.get("WWW-Authenticate", ""))
    if found is None:
        return ""
    encoded = found[1].translate(str.maketrans("+/", "-_")).rstrip("=")
    try:
        return merged(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    except ValueError:
        return ""


def merged(*challenges: str) -> str:
    """
    Return one challenge, JSON, that asks for all that these ask for; the later prevail.

    Those that can't be read, or are too long for a URL together with the later, are left out.
    """
    found: dict[str, Any] = {}
    for challenge in reversed(challenges):
        more = _merged(_read(challenge), found)
        if len(json.dumps(more)) <= _LONGEST:
            found = more
    return json.dumps(found) if found else ""


def _read(challenge: str) -> dict[str, Any]:
    """Read a challenge; one too long or deep to be a real one says nothing."""
    if len(challenge) > _LONGEST or challenge.count("{") + challenge.count("[") > _MOST_BRACKETS:
        return {}
    try:
        found = json.loads(challenge)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _merged(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    together = dict(earlier)
    for key, value in later.items():
        before = together.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            together[key] = _merged(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            together[key] = [*before, *(item for item in value if item not in before)]
        else:
            together[key] = value
    return together
