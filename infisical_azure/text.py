"""Text from elsewhere, before it is believed or shown."""

from __future__ import annotations

import re

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# What PostgreSQL stores in no text: NUL, and halves of characters.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Say whether a database takes the text, to look for it or to keep it."""
    return _UNSTORABLE.search(text) is None


def is_guid(text: str) -> bool:
    """Say whether the text is a GUID as Azure writes them: hexadecimal in five groups."""
    return _GUID.fullmatch(text) is not None


def displayable(value: object, *, longest: int = 256) -> str:
    """
    Return a name without what no name holds: controls, changes of direction, halves
    of characters. Databases and pages would choke on some and lie with others.
    """
    text = str(value or "")
    if not text.isprintable():
        text = "".join(sign for sign in text if sign.isprintable())
    return text[:longest]
