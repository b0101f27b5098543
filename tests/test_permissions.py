"""The permission table that operators register."""

from __future__ import annotations

from pathlib import Path

from infisical_azure.permissions import API_IDS, NEEDED, REGISTERED, Kind, missing
from infisical_azure.text import is_guid

ROOT = Path(__file__).parent.parent


def test_table_is_complete() -> None:
    assert {(p.api, p.name, p.kind.name) for p in REGISTERED} == {
        ("Microsoft Graph", "Application.ReadWrite.All", "APPLICATION"),
        ("Microsoft Graph", "Application.ReadWrite.OwnedBy", "APPLICATION"),
        ("Microsoft Graph", "Application.ReadWrite.All", "DELEGATED"),
        ("Microsoft Graph", "Directory.ReadWrite.All", "DELEGATED"),
        ("Microsoft Graph", "User.Read", "DELEGATED"),
        ("Azure App Configuration", "KeyValue.Delete", "DELEGATED"),
        ("Azure App Configuration", "KeyValue.Read", "DELEGATED"),
        ("Azure App Configuration", "KeyValue.Write", "DELEGATED"),
        ("Azure Key Vault", "user_impersonation", "DELEGATED"),
    }
    assert len({p.id for p in REGISTERED}) == len(REGISTERED)
    assert all(is_guid(p.id) for p in REGISTERED)
    assert {p.api for p in REGISTERED} == set(API_IDS)


def test_readme_tells_operators_every_permission() -> None:
    readme = (ROOT / "README.rst").read_text()
    for permission in REGISTERED:
        kind = "Delegated" if permission.kind is Kind.DELEGATED else "Application"
        assert f"{permission.name}\n     - {kind}" in readme


def test_missing_is_what_is_needed_and_not_granted() -> None:
    assert missing([p.name.upper() for p in NEEDED]) == ()
    assert [p.name for p in missing(["User.Read"])] == [
        "Application.ReadWrite.All", "Directory.ReadWrite.All", "offline_access",
    ]  # fmt: skip
