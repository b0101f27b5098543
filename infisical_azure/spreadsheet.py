"""Client secrets as comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime

from .expiry import expiry_of
from .models import WatchedSecret

COLUMNS = (
    "application", "client_id", "connection", "name", "hint", "key_id", "starts", "expires", "state"
)  # fmt: skip
# What spreadsheets take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


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
    return f"'{text}" if text.startswith(_FORMULA) else text


def _time(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if at else ""
