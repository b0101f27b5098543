"""Bring a rotated client secret to where it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from . import data_planes
from .conf import conf
from .exceptions import DeliveryError
from .models import Destination, RotatedSecret
from .on_behalf import with_token
from .resources import Resource
from .secret import Secret

#: The tag by which a delivered client secret is known again.
TAG = "infisical-azure-rotation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a hook of the site is called with, once or more for each client secret."""

    id: UUID
    """The same when the call is repeated."""
    organization: object
    app_id: UUID
    tenant_id: UUID
    name: str
    """What the destination is called in the rotation's settings."""
    value: Secret
    key_id: UUID | None
    expires_at: datetime | None


def deliver(destination: Destination, rotated: RotatedSecret, value: Secret) -> None:
    """
    Write the value to the destination; to do it again does no harm.

    Raises TokenUnavailableError, RemoteError, or DeliveryError where a hook fails.
    """
    _BY_KIND[Destination.Kind(destination.kind)](destination, rotated, value)


def hooks() -> dict[str, Callable[[Delivery], None]]:
    """Return the site's hooks by name; raise ImproperlyConfigured for one that isn't there."""
    found = {}
    for name, path in conf.secret_hooks.items():
        try:
            found[name] = import_string(path)
        except Exception as exc:  # Whatever the site's module raises.
            raise ImproperlyConfigured(
                f'INFISICAL_AZURE["SECRET_HOOKS"]: {path!r} cannot be imported: {exc}'
            ) from exc
    return found


def _to_vault(destination: Destination, rotated: RotatedSecret, value: Secret) -> None:
    connection = destination.rotation.connection
    vault = connection.find_cloud().vaults.format(name=destination.place)

    def write(token: Secret) -> None:
        held = data_planes.vault_secret_tags(vault, destination.name, token=token)
        if held.get(TAG) == str(rotated.id):
            return  # An earlier try arrived, though its answer did not: no second version.
        data_planes.set_vault_secret(
            vault,
            destination.name,
            value,
            token=token,
            tags=_tags(rotated),
            expires_at=rotated.expires_at or rotated.intended_at,
        )

    with_token(connection, Resource.KEY_VAULT, write)


def _to_store(destination: Destination, rotated: RotatedSecret, value: Secret) -> None:
    _set_key(destination, rotated, data_planes.set_key_value, value)


def _to_reference(destination: Destination, rotated: RotatedSecret, value: Secret) -> None:
    """Write the address alone: the value is in the vault that it refers to."""
    target = destination.refers_to
    if target is None:
        raise DeliveryError("The reference refers to nothing.")
    vault = destination.rotation.connection.find_cloud().vaults.format(name=target.place)
    _set_key(destination, rotated, data_planes.set_reference, f"{vault}/secrets/{target.name}")


def _set_key(
    destination: Destination,
    rotated: RotatedSecret,
    put: Callable[..., None],
    content: Secret | str,
) -> None:
    """Have `put` write the content to a key of the store."""
    connection = destination.rotation.connection
    store = connection.find_cloud().stores.format(name=destination.place)

    def write(token: Secret) -> None:
        put(
            store,
            destination.name,
            content,
            label=destination.label,
            token=token,
            tags=_tags(rotated),
        )

    with_token(connection, Resource.APP_CONFIGURATION, write)


def _to_hook(destination: Destination, rotated: RotatedSecret, value: Secret) -> None:
    try:
        hook = hooks().get(destination.place)
    except ImproperlyConfigured as exc:
        raise DeliveryError(str(exc)) from exc
    if hook is None:
        raise DeliveryError(f"The hook {destination.place!r} is not in SECRET_HOOKS any more.")
    rotation = rotated.rotation
    try:
        hook(
            Delivery(
                id=rotated.id,
                organization=rotation.connection.organization,
                app_id=rotation.app_id,
                tenant_id=rotation.connection.tenant_id,
                name=destination.name,
                value=value,
                key_id=rotated.key_id,
                expires_at=rotated.expires_at,
            )
        )
    except Exception as error:  # noqa: BLE001
        # Whatever the site's code raises, and without its text: it may quote the value.
        failure = DeliveryError(f"The hook {destination.place!r} raised {type(error).__name__}.")
        raise failure from None


def _tags(rotated: RotatedSecret) -> dict[str, str]:
    return {
        TAG: str(rotated.id),
        "application-id": str(rotated.rotation.app_id),
        "key-id": str(rotated.key_id),
    }


_BY_KIND = {
    Destination.Kind.KEY_VAULT: _to_vault,
    Destination.Kind.APP_CONFIGURATION: _to_store,
    Destination.Kind.REFERENCE: _to_reference,
    Destination.Kind.HOOK: _to_hook,
}
