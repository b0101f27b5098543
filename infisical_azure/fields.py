"""EncryptedTextField: ciphertext that belongs to one row and column."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import fernet_fields
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db.models import F, Model
from django.db.models.constants import LOOKUP_SEP
from django.db.models.query_utils import DeferredAttribute
from fernet_fields.hkdf import derive_fernet_key

from .anew import raised_anew, raising_anew
from .conf import conf
from .exceptions import DecryptionError
from .secret import Secret


@lru_cache(maxsize=8)
def _fernet(keys: tuple[str, ...], use_hkdf: bool) -> MultiFernet:  # noqa: FBT001
    return MultiFernet([Fernet(derive_fernet_key(key) if use_hkdf else key) for key in keys])


class _Ciphertext(bytes):
    """What the database holds, not opened yet."""


class _Sealed(bytes):
    """Ciphertext made for the row that is being saved."""


class _SecretAttribute(DeferredAttribute):
    """Give a `Secret` that decrypts only when it is revealed."""

    field: Any

    def __get__(self, instance: Model | None, cls: type[Model] | None = None) -> Any:
        value = super().__get__(instance, cls)
        if instance is None or not isinstance(value, _Ciphertext):
            return value
        return Secret(lambda: self.field.open(value, instance))

    # With __set__ this is a data descriptor, so that __get__ sees every access.
    def __set__(self, instance: Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = Secret(value) if isinstance(value, str) else value


class EncryptedTextField(fernet_fields.EncryptedTextField):  # type: ignore[misc]
    """
    Store a `Secret` encrypted with FERNET_KEYS, in the format of ``fernet_fields``.

    The plaintext begins with the row and column that it was written for, given by
    `bound_to` (attributes of the row, or of rows that it refers to, such as
    ``connection__cloud``), so ciphertext copied into another row is refused, and so is
    that of a row which was given to another. Rows are written by ``save()`` and
    ``bulk_create()`` only: an SQL expression, ``update()`` or ``bulk_update()`` knows no
    row and raises FieldError.

    Reading gives a `Secret`; ``reveal()`` raises `DecryptionError` for a wrong key
    or foreign ciphertext, ImproperlyConfigured while FERNET_KEYS is unset.
    """

    descriptor_class = _SecretAttribute

    def __init__(self, *args: Any, bound_to: tuple[str, ...] = ("pk",), **kwargs: Any) -> None:
        self.bound_to = tuple(bound_to)
        super().__init__(*args, **kwargs)

    if TYPE_CHECKING:

        def __get__(self, instance: object, owner: object) -> Secret: ...

        def __set__(self, instance: object, value: Secret | str) -> None: ...

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "bound_to": self.bound_to}

    @property
    @raising_anew
    def fernet(self) -> MultiFernet:
        """Read the keys at each use; ``fernet_fields`` would keep the first ones."""
        keys = conf.fernet_keys
        if not keys:
            raise ImproperlyConfigured(
                'FERNET_KEYS is not set. Add FERNET_KEYS = ["<output of: '
                "python -c 'import secrets; print(secrets.token_urlsafe(32))'>\"] to settings."
            )
        return _fernet(keys, getattr(settings, "FERNET_USE_HKDF", True))

    def elsewhere(self) -> dict[str, F]:
        """Return annotations with what the ciphertext is bound to in other rows."""
        return {path: F(path) for path in self.bound_to if LOOKUP_SEP in path}

    # Writing

    def pre_save(self, model_instance: Model, add: bool) -> Any:  # noqa: FBT001
        value = getattr(model_instance, self.attname)
        if not isinstance(value, Secret):
            return value
        place = self._place(model_instance)
        return _Sealed(
            raised_anew(lambda: self.fernet.encrypt(f"{place}\n{value.reveal()}".encode()))
        )

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, _Sealed):
            raise FieldError(f"{self} is written by save() or bulk_create() only.")
        return connection.Database.Binary(bytes(value))

    def to_python(self, value: Any) -> Any:
        return value if isinstance(value, Secret) else super().to_python(value)

    # Reading

    def from_db_value(self, value: Any, expression: Any, connection: Any, *args: Any) -> Any:
        return None if value is None else _Ciphertext(value)

    def open(self, ciphertext: bytes, instance: Model) -> str:
        """Return the plaintext; raise DecryptionError where it isn't this row's."""
        try:
            opened = Secret(self.fernet.decrypt(bytes(ciphertext)).decode())
        except InvalidToken:
            raise DecryptionError(
                f"{self} of {instance._meta.label} {instance.pk} was written with a key "
                "that is not in FERNET_KEYS, or was damaged. Add the old key back, "
                "or reconnect."
            ) from None
        place = f"{self._place(instance)}\n"
        if not opened.reveal().startswith(place):
            raise DecryptionError(
                f"{self} of {instance._meta.label} {instance.pk} was moved here, or its row was "
                "given to another organization, connection or cloud. Reconnect."
            )
        return opened.reveal().removeprefix(place)

    def value_to_string(self, obj: Model) -> str:
        return repr(getattr(obj, self.attname))

    def _place(self, instance: Model) -> str:
        parts = [self.model._meta.label_lower, self.column]
        for path in self.bound_to:
            value = _follow(instance, path)
            if value is None:
                raise FieldError(f"{self} needs {', '.join(self.bound_to)} before it is saved.")
            parts.append(str(value))
        return ":".join(parts)


def _follow(instance: Any, path: str) -> Any:
    """Return what a path leads to; where it was read along, that costs no query."""
    if path in instance.__dict__:
        return instance.__dict__[path]
    for name in path.split(LOOKUP_SEP):
        instance = getattr(instance, name)
    return instance
