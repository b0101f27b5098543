"""Client secrets as comma-separated values."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from datetime import UTC, datetime

from .expiry import expiry_of
from .models import WatchedSecret

COLUMNS = (
    "application", "client_id", "connection", "name", "hint", "key_id", "starts", "expires", "state"
)  # fmt: skip
# What spreadsheets take for the beginning of a formula, also full-width, and after whatever one
# that expects another separator than the comma takes for the end of a cell.
_FORMULA = re.compile(
    r"""(^|[;,|\t\r\n])(?=[\s"\u200b-\u200f\u2060\ufeff]*"""
    "[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212])"
)


def csv_of(secrets: Iterable[WatchedSecret], now: datetime) -> str:
    """Return a line for each; no cell is a formula, whatever people call their secrets."""
    out = io.StringIO()
    write = csv.writer(out).writerow
    write(COLUMNS)
    for secret in secrets:
        cells = (
            secret.application_name,
            secret.app_id,
            secret.connection.name,
            secret.name,
            secret.hint,
            secret.key_id,
            _time(secret.starts_at),
            _time(secret.expires_at),
            expiry_of(secret.expires_at, now).text,
        )
        write(_cell(str(cell)) for cell in cells)
    return out.getvalue()


def _cell(text: str) -> str:
    return _FORMULA.sub(r"\1'", text)


def _time(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if at else ""
