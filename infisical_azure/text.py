"""Text from elsewhere, before it is believed or shown."""

from __future__ import annotations

import re

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# What PostgreSQL stores in no text: NUL, and halves of characters.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
# What is printable and yet not seen: fillers, joiners and selectors of variants.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U0001d159\U000e0100-\U000e01ef]"
)
_DOT = "[.\u2024\u3002\uff0e\uff61]"
# What mail programs make links of: domains, IP addresses, schemes, and Windows' shares.
_LINKING = re.compile(
    rf"(?<=\S){_DOT}(?=[^\W\d])|(?<=[^\s\d]){_DOT}(?=\d)|{_DOT}(?=\d+{_DOT}\d+{_DOT}\d)"
    r"|(?<=[A-Za-z]):(?=\S)|\\(?=\\)"
)


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


def unlinked(value: object) -> str:
    """
    Return a name for an e-mail: one line of visible text that is no link.

    Mail programs make links of what looks like an address, so ``www.evil.example`` becomes
    ``www[.]evil[.]example``.
    """
    visible = (sign for sign in str(value) if sign.isprintable() or sign.isspace())
    text = " ".join(_INVISIBLE.sub("", "".join(visible)).split())
    return _LINKING.sub(r"[\g<0>]", text)
