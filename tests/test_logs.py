"""The filters that keep codes out of other packages' log lines."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from infisical_azure.logs import CallbackQueryFilter, TokenRequestFilter, silence

LINE = "GET /organization/app-connections/azure/oauth/callback?code=CANARY&state=CANARY HTTP/1.1"


@pytest.mark.parametrize("args", [(LINE, 302), {"r": LINE, "s": 302}, (), None])
def test_query_of_the_callback_is_cut_from_access_logs(args: Any) -> None:
    message = {tuple: '"%s" %s', dict: '"%(r)s" %(s)s'}[type(args)] if args else LINE
    record = logging.LogRecord("django.server", 20, "", 0, message, None, None)
    record.args = args
    assert CallbackQueryFilter().filter(record)
    assert "CANARY" not in record.getMessage()
    assert "oauth/callback?[cut] HTTP/1.1" in record.getMessage()


def test_other_lines_are_left_alone() -> None:
    record = logging.LogRecord("django.server", 20, "", 0, "GET /?code=1", None, None)
    assert CallbackQueryFilter().filter(record)
    assert record.getMessage() == "GET /?code=1"


def test_only_our_own_token_requests_are_silent() -> None:
    record = logging.LogRecord("requests_oauthlib.oauth2_session", 10, "", 0, "x", None, None)
    assert TokenRequestFilter().filter(record)
    with silence():
        assert not TokenRequestFilter().filter(record)
    assert TokenRequestFilter().filter(record)
