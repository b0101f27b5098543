"""Settings, environment and files, read at every use."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from infisical_azure.clouds import PUBLIC
from infisical_azure.conf import DEFAULTS, conf

NAME = "INF_APP_CONNECTION_AZURE_CLIENT_SECRET"
SOVEREIGN = dataclasses.replace(PUBLIC, name="sovereign", label="Sovereign")


@pytest.fixture
def unset(settings: Any) -> Any:
    for name in (NAME, "INF_APP_CONNECTION_AZURE_CLIENT_ID", "SITE_URL", "FERNET_KEYS"):
        setattr(settings, name, None)
    return settings


def test_setting_comes_before_environment(settings: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv(NAME, "from-environment")
    assert conf.client_secret.reveal() == "CANARY~client.secret-8Q"
    setattr(settings, NAME, "changed")
    assert conf.client_secret.reveal() == "changed"


@pytest.mark.parametrize("value", ["plain", "$begins~with.dollar", "ab #cd", "ends=", 'qu"ote'])
def test_environment_is_taken_letter_by_letter(unset: Any, monkeypatch: Any, value: str) -> None:
    monkeypatch.setenv(NAME, f"{value}\n")
    assert conf.client_secret.reveal() == value


def test_mounted_file_is_read_again_when_it_changes(
    unset: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    monkeypatch.setenv(f"{NAME}_FILE", str(file))
    for value in ("first", "second"):
        file.write_text(f"{value}\n")
        assert conf.client_secret.reveal() == value


def test_missing_operator_settings_are_named(unset: Any, monkeypatch: Any) -> None:
    assert conf.missing_operator_settings == [
        "INF_APP_CONNECTION_AZURE_CLIENT_ID",
        "INF_APP_CONNECTION_AZURE_CLIENT_SECRET",
        "SITE_URL",
        "FERNET_KEYS",
    ]
    monkeypatch.setenv("FERNET_KEYS", "key-one=,key-two=")
    monkeypatch.setenv("SITE_URL", "https://site.example/")
    assert conf.fernet_keys == ("key-one=", "key-two=")
    assert conf.site_url == "https://site.example"


@pytest.mark.parametrize("keys", ["one key", b"one key", 5])
def test_fernet_keys_must_be_a_list(settings: Any, keys: Any) -> None:
    settings.FERNET_KEYS = keys
    with pytest.raises(ImproperlyConfigured, match="must be a list"):
        assert conf.fernet_keys


def test_fernet_keys_may_be_bytes(settings: Any) -> None:
    settings.FERNET_KEYS = [b"key"]
    assert conf.fernet_keys == ("key",)


def test_every_default_is_in_force_when_nothing_is_set(settings: Any) -> None:
    del settings.INFISICAL_AZURE
    del settings.INFISICAL_AZURE_ORGANIZATION_MODEL
    assert conf.host == "infisical_azure.host.GroupHost"
    assert conf.organization_model == "auth.Group"
    assert list(conf.clouds) == ["public"]
    assert conf.authorization_lifetime == timedelta(minutes=10)
    assert (conf.connect_timeout, conf.read_timeout, conf.total_timeout) == (3.05, 10, 20)
    assert conf.max_response_bytes == 1_000_000
    assert conf.max_pending_authorizations == 50
    assert conf.token_leeway == timedelta(minutes=5)
    assert conf.lease == timedelta(seconds=25)
    assert conf.refresh_workers == 16
    assert conf.secret_hooks == {}
    assert conf.rotation_proofs == 5
    assert conf.watch_interval == timedelta(hours=6)
    assert conf.expiry_warnings == (1, 7, 30)


def test_every_tunable_can_be_set(settings: Any) -> None:
    settings.INFISICAL_AZURE = {
        "HOST": "some.Host",
        "CLOUDS": ["china"],
        "AUTHORIZATION_LIFETIME": 60,
        "CONNECT_TIMEOUT": 1,
        "READ_TIMEOUT": 2,
        "TOTAL_TIMEOUT": 3,
        "MAX_RESPONSE_BYTES": 4,
        "MAX_PENDING_AUTHORIZATIONS": 5,
        "TOKEN_LEEWAY": 6,
        "REFRESH_WORKERS": 7,
        "SECRET_HOOKS": {"vault": "some.hook"},
        "ROTATION_PROOFS": 8,
        "ROTATION_PROOF_PAUSE": 9,
        "WATCH_INTERVAL": 8,
        "EXPIRY_WARNINGS": [9, 10, 9],
        "HISTORY_DAYS": 11,
        "MAX_CONNECTIONS": 12,
        "MAX_ROTATIONS": None,
        "MAX_SECRETS": 13,
    }
    assert set(settings.INFISICAL_AZURE) == set(DEFAULTS)
    assert conf.host == "some.Host"
    assert list(conf.clouds) == ["china"]
    assert conf.authorization_lifetime == timedelta(minutes=1)
    assert (conf.connect_timeout, conf.read_timeout, conf.total_timeout) == (1, 2, 3)
    assert (conf.max_response_bytes, conf.max_pending_authorizations) == (4, 5)
    assert (conf.token_leeway.total_seconds(), conf.refresh_workers) == (6, 7)
    assert conf.secret_hooks == {"vault": "some.hook"}
    assert (conf.rotation_proofs, conf.rotation_proof_pause) == (8, 9)
    assert (conf.watch_interval.total_seconds(), conf.expiry_warnings) == (8, (9, 10))
    assert conf.history_kept == timedelta(days=11)
    limits = [conf.limit(f"MAX_{rows}") for rows in ("CONNECTIONS", "ROTATIONS", "SECRETS")]
    assert limits == [12, None, 13]


def test_cloud_may_be_of_the_hosts_own(settings: Any) -> None:
    settings.INFISICAL_AZURE = {"CLOUDS": ["tests.test_conf.SOVEREIGN", "us-government"]}
    assert list(conf.clouds) == ["sovereign", "us-government"]


@pytest.mark.parametrize("clouds", [[], ["mars"], ["tests.test_conf.NAME"], ["tests.test_conf.X"]])
def test_unknown_cloud_is_an_error(settings: Any, clouds: list[str]) -> None:
    settings.INFISICAL_AZURE = {"CLOUDS": clouds}
    with pytest.raises(ImproperlyConfigured, match="CLOUDS"):
        assert conf.clouds
