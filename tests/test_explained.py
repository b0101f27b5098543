"""What a row remembers of a failure."""

from __future__ import annotations

from infisical_azure.exceptions import Fault
from infisical_azure.models import AppConnection


def test_row_explains_the_latest_failure_and_nothing_of_the_one_before() -> None:
    connection = AppConnection()
    fault = Fault(service="Entra", aadsts=50076, correlation_id="11", trace_id="22")
    for given, expected in ((fault, (50076, "11", "22")), (None, (None, "", ""))):
        connection.explain("sign_in_needed", given)
        assert [getattr(connection, name) for name in AppConnection.EXPLANATION] == [
            "sign_in_needed",
            *expected,
        ]
    assert AppConnection.EXPLANATION == ("problem", "aadsts", "correlation_id", "trace_id")
