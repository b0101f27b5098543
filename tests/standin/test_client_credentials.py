"""A token for an application alone, at the token endpoint and at Graph."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from example_project.standin.directory import DEFAULT_CLIENT_SECRET

from .app import CONTOSO, GRAPH, App
from .directory import Caller, error_of

VALUE = "Qx18Q~a-test.secret-that_is-not-a-real1~"
SCOPE = f"{GRAPH}/.default"


class Robot:
    """An application with one secret, and one that has expired."""

    def __init__(self, app: App) -> None:
        secrets = [{"days": 30, "value": VALUE}, {"days": -1, "value": f"{VALUE}-old"}]
        self.made = app.standin.add_application(CONTOSO, "Robot", secrets=secrets)
        self.app, self.id, self.app_id = app, self.made["id"], self.made["appId"]

    def ask(
        self, secret: str | None = VALUE, tenant: str = CONTOSO, **form: Any
    ) -> requests.Response:
        asked = {"client_id": self.app_id, "scope": SCOPE, "client_secret": secret, **form}
        return self.app.post(tenant, grant_type="client_credentials", **asked)

    def code_of(self, *arguments: Any, **form: Any) -> int:
        """The AADSTS number of the refusal; 0 if there is none."""
        answer = self.ask(*arguments, **form)
        return int(answer.json()["error_codes"][0]) if answer.status_code != 200 else 0


@pytest.fixture
def robot(app: App) -> Robot:
    return Robot(app)


def test_answer_has_four_fields(robot: Robot) -> None:
    for resource in (GRAPH, "https://vault.azure.net", "https://appconfig.azure.com"):
        answer = robot.ask(scope=f"{resource}/.default")
        assert answer.status_code == 200
        body = answer.json()
        assert list(body) == ["token_type", "expires_in", "ext_expires_in", "access_token"]
        assert (body["token_type"], body["expires_in"]) == ("Bearer", 3599)


@pytest.mark.parametrize(
    ("form", "code", "error", "status"),
    [
        ({"client_secret": "wrong"}, 7000215, "invalid_client", 401),
        ({"client_secret": f"{VALUE}-old"}, 7000222, "invalid_client", 401),
        ({"client_secret": None}, 7000218, "invalid_client", 401),
        ({"client_id": "11111111-2222-4333-8444-555555555555"}, 700016, "unauthorized_client", 400),
        ({"client_id": None}, 900144, "invalid_request", 400),
        ({"tenant": "fabrikam.com"}, 700016, "unauthorized_client", 400),
        ({"tenant": "nowhere.example"}, 90002, "invalid_request", 400),
        ({"tenant": "common"}, 50059, "invalid_request", 400),
        ({"tenant": "organizations"}, 50059, "invalid_request", 400),
        ({"scope": None}, 900144, "invalid_request", 400),
        ({"scope": f"{GRAPH}/User.Read"}, 1002012, "invalid_scope", 400),
        ({"scope": "https://api.example.com/.default"}, 500011, "invalid_resource", 400),
    ],
)
def test_refusals(robot: Robot, form: dict[str, Any], code: int, error: str, status: int) -> None:
    answer = robot.ask(**{"secret": VALUE, **form})
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json()["error_codes"] == [code]
    assert answer.json()["trace_id"] == answer.headers["x-ms-request-id"]


def test_new_secret_is_accepted_late_and_removed_one_for_longer(app: App, robot: Robot) -> None:
    ada = Caller(app)
    app.standin.directory(secret_lag=10, removed_secret_works_for=100)
    secret = ada.add(robot.id).json()
    value = secret["secretText"]
    assert robot.code_of(value) == 7000215
    assert app.standin.secret_works(CONTOSO, robot.app_id, value)
    app.standin.clock(11)
    assert robot.code_of(value) == 0
    assert ada.remove(robot.id, secret["keyId"]).status_code == 204
    assert not app.standin.secret_works(CONTOSO, robot.app_id, value)
    assert robot.code_of(value) == 0
    app.standin.clock(112)
    assert robot.code_of(value) == 7000215


def test_new_secret_flaps_before_it_is_stable(app: App, robot: Robot) -> None:
    app.standin.directory(secret_flaps=[False, True, False])
    value = Caller(app).add(robot.id).json()["secretText"]
    codes = [robot.code_of(value) for _ in range(5)]
    assert codes == [7000215, 0, 7000215, 0, 0]
    assert robot.code_of() == 0


def test_secret_expires(app: App, robot: Robot) -> None:
    app.standin.clock(31 * 86_400)
    assert robot.code_of() == 7000222
    assert not app.standin.secret_works(CONTOSO, robot.app_id, VALUE)


def test_faults_can_hit_only_this_grant(app: App, robot: Robot) -> None:
    app.standin.fault("secret_expired", grant_type="client_credentials")
    app.standin.fault("expires_in_missing", grant_type="client_credentials")
    assert app.redeem(app.code()).status_code == 200
    refused = robot.ask()
    assert refused.json()["error_codes"] == [7000222]
    assert robot.app_id in refused.json()["error_description"]
    assert "expires_in" not in robot.ask().json()
    assert robot.code_of() == 0


def test_only_the_registered_application_may_call_graph(app: App, robot: Robot) -> None:
    token = robot.ask().json()["access_token"]
    assert error_of(app.graph("/applications", token)) == (403, "Authorization_RequestDenied")
    own = app.standin.registration()["client_id"]
    answer = robot.ask(DEFAULT_CLIENT_SECRET, client_id=own).json()
    assert len(app.graph("/applications", answer["access_token"]).json()["value"]) == 61
    url = f"{app.standin.graph_url}/applications/{robot.id}/addPassword"
    assert app.call("POST", url, answer["access_token"], body={}).status_code == 200
    assert app.graph("/me", answer["access_token"]).status_code == 403
