"""Ciphertext that belongs to one row and column."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.core import serializers
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db import connection as database
from django.db.models import F, Model, Value
from django.utils import timezone
from fernet_fields import EncryptedTextField as PlainField

from infisical_azure.exceptions import DecryptionError
from infisical_azure.models import (
    AccessToken,
    AppConnection,
    Authorization,
    HeldSecret,
    IssuedSecret,
    IssuedValue,
    RefreshToken,
    RotatedSecret,
    Rotation,
)
from infisical_azure.secret import Secret

from .conftest import Browser
from .hostapp.host import make_organization
from .microsoft import TENANT

pytestmark = pytest.mark.django_db
RESOURCE = "https://graph.microsoft.com"
TIMES = dict.fromkeys(("issued_at", "refresh_at", "expires_at"), timezone.now())


@pytest.fixture
def connection(organization: Model) -> AppConnection:
    return make_connection(organization, "one")


def make_connection(organization: Model, name: str) -> AppConnection:
    return AppConnection.objects.create(
        organization=organization, name=name, tenant_id=TENANT, account_object_id=TENANT
    )


def make_token(connection: AppConnection, resource: str = RESOURCE) -> AccessToken:
    return AccessToken.objects.create(
        connection=connection,
        resource=resource,
        secret=Secret(f"CANARY of {connection.name}"),
        **TIMES,
    )


def ciphertext(token: Model) -> bytes:
    with database.cursor() as cursor:
        table, key = token._meta.db_table, token._meta.pk
        assert key is not None
        value = key.get_db_prep_value(token.pk, database)
        cursor.execute(f'SELECT secret FROM "{table}" WHERE "{key.column}" = %s', [value])  # noqa: S608
        return bytes(cursor.fetchone()[0])


def overwrite(token: Model, value: bytes) -> None:
    with database.cursor() as cursor:
        table, key = token._meta.db_table, token._meta.pk
        assert key is not None
        pk = key.get_db_prep_value(token.pk, database)
        cursor.execute(
            f'UPDATE "{table}" SET secret = %s WHERE "{key.column}" = %s',  # noqa: S608
            [database.Database.Binary(value), pk],
        )


def test_secret_is_stored_encrypted_and_revealed_again(connection: AppConnection) -> None:
    token = make_token(connection)
    assert b"CANARY" not in ciphertext(token)
    assert AccessToken.objects.get().secret.reveal() == "CANARY of one"


def test_text_is_taken_as_a_secret_when_it_is_set(connection: AppConnection) -> None:
    token = make_token(connection)
    token.secret = "CANARY of text"  # type: ignore[assignment]
    assert "CANARY" not in repr(token.__dict__)
    token.save()
    assert AccessToken.objects.get().secret.reveal() == "CANARY of text"


def test_querysets_leave_the_ciphertext_in_the_database(
    connection: AppConnection, django_assert_num_queries: Any
) -> None:
    make_token(connection)
    with django_assert_num_queries(1) as queries:
        token = AccessToken.objects.get()
    assert "secret" not in queries.captured_queries[0]["sql"]
    with django_assert_num_queries(1):
        assert isinstance(token.secret, Secret)


def test_saving_a_read_row_again_keeps_the_secret(connection: AppConnection) -> None:
    make_token(connection)
    token = AccessToken.objects.get()
    assert token.secret
    token.save()
    assert AccessToken.objects.get().secret.reveal() == "CANARY of one"


def test_bulk_create_encrypts(connection: AppConnection) -> None:
    AccessToken.objects.bulk_create(
        [
            AccessToken(
                connection=connection,
                resource=RESOURCE,
                secret=Secret("CANARY"),
                **TIMES,
            )
        ]
    )
    assert b"CANARY" not in ciphertext(AccessToken.objects.get())
    assert AccessToken.objects.get().secret.reveal() == "CANARY"


@pytest.mark.parametrize("value", ["text", Secret("s"), Value("v"), F("resource")])
def test_update_is_refused(connection: AppConnection, value: Any) -> None:
    make_token(connection)
    with pytest.raises(FieldError, match="save"):
        AccessToken.objects.update(secret=value)


def test_bulk_update_is_refused(connection: AppConnection) -> None:
    token = make_token(connection)
    token.secret = Secret("other")
    with pytest.raises(FieldError, match="save"):
        AccessToken.objects.bulk_update([token], ["secret"])


def test_expression_is_refused(connection: AppConnection) -> None:
    token = make_token(connection)
    token.secret = F("resource")  # type: ignore[assignment]
    with pytest.raises(FieldError, match="save"):
        token.save()


def test_row_without_its_key_is_refused() -> None:
    token = AccessToken(secret=Secret("s"), resource=RESOURCE, **TIMES)
    with pytest.raises(FieldError, match="connection_id"):
        token._meta.get_field("secret").pre_save(token, add=True)


def test_cleaning_keeps_the_secret(connection: AppConnection) -> None:
    token = make_token(connection)
    token.full_clean(exclude={"scopes", "used_at"})
    token.save()
    assert AccessToken.objects.get().secret.reveal() == "CANARY of one"
    assert AccessToken._meta.get_field("secret").to_python("text") == "text"


def test_empty_value_stays_empty(connection: AppConnection) -> None:
    field = AccessToken._meta.get_field("secret")
    assert field.get_db_prep_save(None, database) is None
    assert field.from_db_value(None, None, database) is None  # type: ignore[attr-defined]


# Attacks on the database


def test_ciphertext_of_another_row_is_refused(
    organization: Model, connection: AppConnection
) -> None:
    mine = make_token(connection)
    theirs = make_token(make_connection(organization, "two"))
    overwrite(mine, ciphertext(theirs))
    with pytest.raises(DecryptionError, match="moved"):
        AccessToken.objects.get(pk=mine.pk).secret.reveal()


def test_row_given_to_another_connection_is_refused(
    organization: Model, connection: AppConnection
) -> None:
    token = make_token(connection)
    thief = make_connection(organization, "two")
    AccessToken.objects.filter(pk=token.pk).update(connection=thief)
    with pytest.raises(DecryptionError, match="moved"):
        AccessToken.objects.get().secret.reveal()


def test_ciphertext_of_another_column_is_refused(connection: AppConnection) -> None:
    refresh = RefreshToken.objects.create(
        connection=connection, secret=Secret("CANARY"), expires_at=timezone.now()
    )
    access = make_token(connection, resource="")
    overwrite(access, ciphertext(refresh))
    with pytest.raises(DecryptionError):
        AccessToken.objects.get().secret.reveal()


@pytest.mark.parametrize("position", [0, 20, -1])
def test_flipped_bit_is_noticed(connection: AppConnection, position: int) -> None:
    token = make_token(connection)
    changed = bytearray(ciphertext(token))
    changed[position] ^= 1
    overwrite(token, bytes(changed))
    with pytest.raises(DecryptionError, match="damaged"):
        AccessToken.objects.get().secret.reveal()


def test_ciphertext_of_a_plain_field_is_refused(connection: AppConnection) -> None:
    token = make_token(connection)
    plain = PlainField()
    overwrite(token, plain.fernet.encrypt(b"CANARY"))
    with pytest.raises(DecryptionError, match="moved"):
        AccessToken.objects.get().secret.reveal()


# Rows that were given to another organization, connection or cloud


@pytest.fixture
def columns(browser: Browser, connection: AppConnection) -> dict[str, Callable[[], Any]]:
    """Return how to read the secret of each encrypted column, by the name of its model."""
    now = timezone.now()
    make_token(connection)
    RefreshToken.objects.create(connection=connection, secret=Secret("CANARY"))
    common = {"connection": connection, "application_id": TENANT, "app_id": TENANT}
    rotation = Rotation.objects.create(
        **common, **dict.fromkeys(("interval", "lifetime", "overlap"), timedelta(days=1))
    )
    rotated = RotatedSecret.objects.create(rotation=rotation)
    HeldSecret.objects.create(of=rotated, secret=Secret("CANARY"))
    issued = IssuedSecret.objects.create(**common, user=browser.user, name="x", expires_at=now)
    IssuedValue.objects.create(
        of=issued, user=browser.user, secret=Secret("CANARY"), kept_until=now
    )
    Authorization.objects.create(
        organization=connection.organization,
        user=browser.user,
        cloud=connection.cloud,
        verifier=Secret("CANARY"),
        tenant_id=TENANT,
        expires_at=now,
    )
    sealed: tuple[Any, ...] = (AccessToken, RefreshToken, HeldSecret, IssuedValue)
    return {
        "Authorization": lambda: Authorization.objects.get().verifier,
        **{model.__name__: model.objects.with_secret().get for model in sealed},
    }


def opened(read: Callable[[], Any]) -> str:
    found = read()
    return str(getattr(found, "secret", found).reveal())


SEALED = ["Authorization", "AccessToken", "RefreshToken", "HeldSecret", "IssuedValue"]


@pytest.mark.parametrize("name", SEALED)
def test_secret_is_read_with_all_it_is_bound_to_in_one_query(
    columns: dict[str, Callable[[], Any]], name: str, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(1):
        assert opened(columns[name]).startswith("CANARY")


@pytest.mark.parametrize("name", SEALED)
@pytest.mark.parametrize("fact", ["organization", "cloud"])
def test_row_of_a_connection_that_was_given_away_is_not_opened(
    columns: dict[str, Callable[[], Any]], name: str, fact: str
) -> None:
    other = {"organization": make_organization("Thieves"), "cloud": "china"}[fact]
    for model in (AppConnection, Authorization):
        model._default_manager.update(**{fact: other})
    with pytest.raises(DecryptionError, match="another organization, connection or cloud"):
        opened(columns[name])


@pytest.mark.parametrize("name", SEALED[1:])
def test_row_that_was_given_to_another_connection_is_not_opened(
    columns: dict[str, Callable[[], Any]], organization: Model, name: str
) -> None:
    thief = make_connection(organization, "two")
    for model in (Rotation, IssuedSecret, AccessToken, RefreshToken):
        model._default_manager.update(connection=thief)
    with pytest.raises(DecryptionError, match="another organization, connection or cloud"):
        opened(columns[name])


def test_value_that_was_given_to_another_person_is_not_opened(
    columns: dict[str, Callable[[], Any]],
) -> None:
    IssuedValue.objects.update(user=User.objects.create_user("thief"))
    with pytest.raises(DecryptionError, match="moved"):
        opened(columns["IssuedValue"])


def test_claim_is_one_update_of_one_table(
    columns: dict[str, Callable[[], Any]], django_assert_num_queries: Any
) -> None:
    """A second process would pass a condition that is in a subquery."""
    rows = RefreshToken.objects.with_secret()
    row = RefreshToken.objects.get()
    with django_assert_num_queries(2) as queries:
        assert rows.claim(row, timedelta(seconds=9)) is not None
    (sql,) = [one["sql"] for one in queries.captured_queries if one["sql"].startswith("UPDATE")]
    assert "SELECT" not in sql
    assert "JOIN" not in sql


# Keys


def test_keys_can_be_changed_while_old_rows_stay_readable(
    connection: AppConnection, settings: Any
) -> None:
    token = make_token(connection)
    old, new = settings.FERNET_KEYS[0], "second-key-of-the-tests-0123456789abcdef"
    settings.FERNET_KEYS = [new, old]
    token = AccessToken.objects.get()
    assert token.secret.reveal() == "CANARY of one"
    token.save()
    settings.FERNET_KEYS = [new]
    assert AccessToken.objects.get().secret.reveal() == "CANARY of one"
    settings.FERNET_KEYS = [old]
    with pytest.raises(DecryptionError, match="not in FERNET_KEYS"):
        AccessToken.objects.get().secret.reveal()


def test_fernet_keys_can_be_used_as_they_are(connection: AppConnection, settings: Any) -> None:
    settings.FERNET_USE_HKDF = False
    settings.FERNET_KEYS = [Fernet.generate_key().decode()]
    make_token(connection)
    assert AccessToken.objects.get().secret.reveal() == "CANARY of one"


def test_nothing_is_stored_without_a_key(connection: AppConnection, settings: Any) -> None:
    settings.FERNET_KEYS = []
    with pytest.raises(ImproperlyConfigured, match="FERNET_KEYS"):
        make_token(connection)


def test_bad_row_does_not_break_the_list_of_rows(connection: AppConnection) -> None:
    overwrite(make_token(connection), b"garbage")
    (token,) = AccessToken.objects.all()
    assert token.secret is not None
    assert str(token).startswith("access token of")


# Leaks of the holder itself


def test_secret_shows_nothing_of_itself() -> None:
    secret = Secret("CANARY")
    assert f"{secret} {secret!r} {secret!s} {[secret]}".count("<Secret>") == 4
    assert not hasattr(secret, "__dict__")
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(secret)
    assert copy.deepcopy(secret) is secret


def test_secrets_compare_by_text_and_can_not_be_hashed() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert Secret("a")
    assert not Secret("")
    with pytest.raises(TypeError):
        hash(Secret("a"))


def test_dumpdata_holds_no_secret(connection: AppConnection) -> None:
    make_token(connection)
    dump = serializers.serialize("json", AccessToken.objects.all())
    assert "CANARY" not in dump
    assert "<Secret>" in dump


def test_class_attribute_is_the_descriptor() -> None:
    assert AccessToken.secret.field.name == "secret"  # type: ignore[attr-defined]


def test_lookups_are_refused(connection: AppConnection) -> None:
    with pytest.raises(FieldError):
        AccessToken.objects.filter(secret="CANARY").exists()
