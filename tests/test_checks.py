"""Every system check, by its id."""

from __future__ import annotations

import dataclasses
import io
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from infisical_azure.checks import check_security, check_settings
from infisical_azure.clouds import BUILT_IN, PUBLIC
from infisical_azure.host import Host

DOCS = Path(__file__).parent.parent / "docs" / "checks.rst"
README = DOCS.parent.parent / "README.rst"
KEY = "k" * 32


class HostOfBefore(Host):
    def has_permission(self, user: Any, perm: str, organization: Any) -> bool:  # type: ignore[override]
        return True


def ids() -> list[str]:
    found = [*check_settings(None), *check_security(None)]
    return [str(message.id).removeprefix("infisical_azure.") for message in found]


def test_test_project_has_nothing_to_complain_about() -> None:
    assert ids() == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"INF_APP_CONNECTION_AZURE_CLIENT_ID": ""}, ["W001"]),
        ({"INF_APP_CONNECTION_AZURE_CLIENT_SECRET": ""}, ["W001"]),
        ({"INF_APP_CONNECTION_AZURE_CLIENT_ID": "my-app"}, ["W002"]),
        (
            {"INF_APP_CONNECTION_AZURE_CLIENT_SECRET": "11111111-2222-3333-4444-555555555555"},
            ["W003"],
        ),
        ({"FERNET_KEYS": None}, ["E001"]),
        ({"FERNET_KEYS": []}, ["E001"]),
        ({"FERNET_KEYS": "one"}, ["E002"]),
        ({"FERNET_KEYS": ["short"]}, ["W004"]),
        ({"FERNET_KEYS": [KEY, KEY]}, ["E015"]),
        ({"FERNET_KEYS": [KEY], "FERNET_USE_HKDF": False}, ["E014"]),
        ({"FERNET_KEYS": [Fernet.generate_key()], "FERNET_USE_HKDF": False}, []),
        ({"FERNET_KEYS": [KEY], "SECRET_KEY": KEY}, ["E003"]),
        ({"INFISICAL_AZURE": {"HOST": "nowhere.Host"}}, ["E004"]),
        ({"INFISICAL_AZURE": {"HOST": "infisical_azure.clouds.Cloud"}}, ["E004"]),
        ({"INFISICAL_AZURE": {"HOST": "infisical_azure.conf.conf"}}, ["E004"]),
        ({"INFISICAL_AZURE": {"HOST": "tests.test_checks.HostOfBefore"}}, ["E018"]),
        ({"INFISICAL_AZURE_ORGANIZATION_MODEL": "no.Model"}, ["E005"]),
        ({"INFISICAL_AZURE_ORGANIZATION_MODEL": "nonsense"}, ["E005"]),
        ({"SITE_URL": ""}, ["W005"]),
        ({"SITE_URL": "site.example"}, ["E006"]),
        ({"SITE_URL": "https://site.example?x=1"}, ["E006"]),
        ({"SITE_URL": "http://site.example"}, ["E007"]),
        ({"SITE_URL": "http://site.example", "DEBUG": True}, []),
        ({"SITE_URL": "http://localhost:8000"}, []),
        ({"INFISICAL_AZURE": {"TIMEOUTS": 1, "HSOT": 2}}, ["E008", "E008"]),
        ({"INFISICAL_AZURE": {"CLOUDS": ["mars"]}}, ["E009"]),
        ({"INFISICAL_AZURE": {"CLOUDS": ["tests.test_checks.plain_authority"]}}, ["E010"]),
        (
            {"INFISICAL_AZURE": {"CLOUDS": ["tests.test_checks.plain_authority"]}, "DEBUG": True},
            ["E019"],
        ),
        ({"INFISICAL_AZURE": {"CLOUDS": ["tests.test_checks.plain_graph"]}}, ["E010"]),
        ({"INFISICAL_AZURE": {"CLOUDS": ["tests.test_checks.plain_graph"]}, "DEBUG": True}, []),
        ({"INFISICAL_AZURE": {"CLOUDS": ["tests.test_checks.plain_vaults"]}}, ["E010"]),
        ({"INFISICAL_AZURE": {"CLOUDS": ["tests.test_checks.plain_stores"]}}, ["E010"]),
        ({"INFISICAL_AZURE": {"CLOUDS": ["tests.test_checks.odd_stores"]}}, ["E010"]),
        ({"INFISICAL_AZURE": {"CLOUDS": [*BUILT_IN]}}, []),
        ({"INFISICAL_AZURE": {"SECRET_HOOKS": {"mine": "nowhere.hook"}}}, ["E016"]),
        ({"INFISICAL_AZURE": {"SECRET_HOOKS": {"a\nb": "tests.rotations.take"}}}, ["E016"]),
        ({"INFISICAL_AZURE": {"SECRET_HOOKS": {"": "tests.rotations.take"}}}, ["E016"]),
        ({"INFISICAL_AZURE": {"SECRET_HOOKS": {"x" * 65: "tests.rotations.take"}}}, ["E016"]),
        ({"INFISICAL_AZURE": {"SECRET_HOOKS": {"x" * 64: "tests.rotations.take"}}}, []),
        ({"INFISICAL_AZURE": {"SECRET_HOOKS": {"x": "tests.rotations.take"}}}, []),
        ({"INFISICAL_AZURE": {"ROTATION_PROOFS": 0, "REFRESH_WORKERS": 0}}, ["E017", "E017"]),
        ({"INFISICAL_AZURE": {"HISTORY_DAYS": 0}}, ["E017"]),
        ({"ROOT_URLCONF": "tests.test_checks"}, ["E011"]),
        ({"ROOT_URLCONF": None}, []),
        ({"ROOT_URLCONF": "tests.urls_elsewhere"}, ["W006"]),
        ({"SESSION_COOKIE_SAMESITE": "Strict"}, ["E012"]),
    ],
)
def test_check_finds(settings: Any, changes: dict[str, Any], expected: list[str]) -> None:
    for name, value in changes.items():
        setattr(settings, name, value)
    assert ids() == expected
    assert all(message.hint for message in check_settings(None))


urlpatterns: list[Any] = []


plain_authority = dataclasses.replace(PUBLIC, authority="http://login.example")
plain_graph = dataclasses.replace(PUBLIC, graph="http://graph.example")
plain_vaults = dataclasses.replace(PUBLIC, vaults="http://{name}.vault.example")
plain_stores = dataclasses.replace(PUBLIC, stores="HTTP://{name}.store.example")
odd_stores = dataclasses.replace(PUBLIC, stores="https:/{name}.store.example")


def test_authority_without_https_works_in_debug_where_oauthlib_is_told(
    settings: Any, monkeypatch: Any
) -> None:
    settings.INFISICAL_AZURE = {"CLOUDS": ["tests.test_checks.plain_authority"]}
    settings.DEBUG = True
    (error,) = check_settings(None)
    assert "OAUTHLIB_INSECURE_TRANSPORT=1" in str(error.hint)
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    assert ids() == []
    settings.DEBUG = False
    assert ids() == ["E010", "E013"]


def test_address_without_https_is_named(settings: Any) -> None:
    settings.INFISICAL_AZURE = {"CLOUDS": ["tests.test_checks.plain_vaults"]}
    (error,) = check_settings(None)
    assert error.msg == "The cloud 'public' is reached without https: vaults."


def test_debug_logging_of_requests_oauthlib_is_found() -> None:
    logger = logging.getLogger("requests_oauthlib")
    logger.setLevel(logging.DEBUG)
    try:
        assert ids() == ["W007"]
    finally:
        logger.setLevel(logging.NOTSET)


@pytest.mark.parametrize(("debug", "expected"), [(False, ["E013"]), (True, [])])
def test_insecure_transport_is_found(
    settings: Any,
    monkeypatch: Any,
    debug: bool,
    expected: list[str],
) -> None:
    settings.DEBUG = debug
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    assert ids() == expected


def test_relaxed_scope_is_found(monkeypatch: Any) -> None:
    monkeypatch.setenv("OAUTHLIB_RELAX_TOKEN_SCOPE", "1")
    assert ids() == ["W008"]


@pytest.mark.django_db  # Django's own checks may look at the database.
def test_checks_are_bound(settings: Any) -> None:
    settings.FERNET_KEYS = []
    settings.SESSION_COOKIE_SAMESITE = "Strict"
    with pytest.raises(SystemCheckError) as caught:
        call_command("check", stderr=io.StringIO())
    assert "infisical_azure.E001" in str(caught.value)
    assert "infisical_azure.E012" in str(caught.value)


def test_no_check_shows_a_secret(settings: Any) -> None:
    settings.INF_APP_CONNECTION_AZURE_CLIENT_SECRET = "5ec2e700-2222-3333-4444-555555555555"
    settings.FERNET_KEYS = ["CANARY", "CANARY"]
    settings.SECRET_KEY = "CANARY"
    text = " ".join(f"{m.msg} {m.hint}" for m in check_settings(None))
    assert "CANARY" not in text
    assert "5ec2e700" not in text


def test_every_check_is_documented() -> None:
    source = Path(check_settings.__code__.co_filename).read_text()
    in_code = set(re.findall(r'id="infisical_azure\.([EW]\d+)"', source))
    in_docs = set(re.findall(r"^infisical_azure\.([EW]\d+)", DOCS.read_text(), re.MULTILINE))
    assert in_code == in_docs
    table = README.read_text()
    assert {one for one in in_code if not is_in_table(one, table)} == set()


def is_in_table(found: str, readme: str) -> bool:
    """Look for it also where the table has a range of ids."""
    letter, number = found[0], int(found[1:])
    ranges = re.findall(rf"{letter}(\d+) \S {letter}(\d+)", readme)
    is_within = any(int(first) <= number <= int(last) for first, last in ranges)
    return found in readme or is_within
