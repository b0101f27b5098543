"""The one shape of Azure's ids."""

from __future__ import annotations

import re

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def is_guid(text: str) -> bool:
    """Say whether the text is a GUID as Azure writes them: hexadecimal in five groups."""
    return _GUID.fullmatch(text) is not None
