"""What the access log leaves out."""

from __future__ import annotations

import logging
import re

QUERY_STRING = re.compile(r"\?\S*")


class WithoutQueryStrings(logging.Filter):
    """Cut query strings, since a callback's holds an authorization code."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                QUERY_STRING.sub("?...", value) if isinstance(value, str) else value
                for value in record.args
            )
        return True
