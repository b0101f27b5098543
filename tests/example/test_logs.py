"""The access log."""

from __future__ import annotations

import logging

import pytest

CALLBACK = "/organization/app-connections/azure/oauth/callback?code=CANARY&state=CANARY"
FEED = "/organization/contoso/app-connections/feeds/CANARY.ics"


@pytest.mark.parametrize("path", [CALLBACK, FEED])
def test_codes_and_calendar_tokens_stay_out_of_the_access_log(path: str) -> None:
    record = logging.makeLogRecord(
        {"msg": '"%s" %s %s', "args": (f"GET {path} HTTP/1.1", "302", "0")}
    )
    assert logging.getLogger("django.server").filter(record)
    assert "CANARY" not in record.getMessage()
    assert record.getMessage().endswith(' HTTP/1.1" 302 0')
