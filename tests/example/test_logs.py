"""The access log."""

from __future__ import annotations

import logging

from example_project.logs import WithoutQueryStrings


def test_authorization_code_stays_out_of_the_access_log() -> None:
    line = "GET /organization/app-connections/azure/oauth/callback?code=abc&state=def HTTP/1.1"
    record = logging.LogRecord(
        "django.server", logging.INFO, __file__, 1, '"%s" %s %s', (line, "302", "0"), None
    )
    assert WithoutQueryStrings().filter(record)
    assert record.getMessage() == (
        '"GET /organization/app-connections/azure/oauth/callback?... HTTP/1.1" 302 0'
    )
