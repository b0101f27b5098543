"""Bring a rotated client secret to where it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from . import data_planes
from .anew import is_interruption, raising_anew
from .clouds import Cloud, is_vault_secret
from .conf import conf
from .exceptions import DeliveryError
from .models import Destination, RotatedSecret
from .models.rotations import LONGEST_PLACE
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

    Raises TokenUnavailableError, RemoteError, or DeliveryError where a hook fails or the
    row names no place of the connection's cloud; then nothing is sent anywhere.
    """
    _BY_KIND[Destination.Kind(destination.kind)](destination, rotated, value)


def hooks() -> dict[str, Callable[[Delivery], None]]:
    """Return the site's hooks by name; raise ImproperlyConfigured for what can't be called so."""
    found = {}
    for name, path in conf.secret_hooks.items():
        if not (name.isprintable() and 0 < len(name) <= LONGEST_PLACE):
            raise ImproperlyConfigured(
                f'INFISICAL_AZURE["SECRET_HOOKS"]: the name {name!r} is empty, longer than '
                f"{LONGEST_PLACE} characters, or holds invisible ones."
            )
        try:
            found[name] = import_string(path)
        except Exception as exc:  # Whatever the site's module raises.
            raise ImproperlyConfigured(
                f'INFISICAL_AZURE["SECRET_HOOKS"]: {path!r} cannot be imported: {exc}'
            ) from exc
    return found


def _to_vault(destination: Destination, rotated: RotatedSecret, value: Secret) -> None:
    connection = destination.rotation.connection
    vault = _vault(connection.find_cloud(), destination)

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
    if (
        target is None
        or target.kind != Destination.Kind.KEY_VAULT
        or target.rotation_id != destination.rotation_id
    ):
        raise DeliveryError("The reference refers to nothing.")
    cloud = destination.rotation.connection.find_cloud()
    address = f"{_vault(cloud, target)}/secrets/{target.name}"
    _set_key(destination, rotated, data_planes.set_reference, address)


def _vault(cloud: Cloud, destination: Destination) -> str:
    """Return the vault's URL once it and the secret's name are found to be names."""
    if not is_vault_secret(destination.name):
        raise DeliveryError("The destination's name is no name of a vault's secret.")
    return _url(cloud.vault_url, destination)


def _url(address_of: Callable[[str], str], destination: Destination) -> str:
    # Asked again, since rows are made without forms too: another host would get the token.
    try:
        return address_of(destination.place)
    except ValueError as error:
        raise DeliveryError(f"Destination {destination.pk}: {error}") from error


def _set_key(
    destination: Destination,
    rotated: RotatedSecret,
    put: Callable[..., None],
    content: Secret | str,
) -> None:
    """Have `put` write the content to a key of the store."""
    connection = destination.rotation.connection
    store = _url(connection.find_cloud().store_url, destination)

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
    delivery = Delivery(
        id=rotated.id,
        organization=rotation.connection.organization,
        app_id=rotation.app_id,
        tenant_id=rotation.connection.tenant_id,
        name=destination.name,
        value=value,
        key_id=rotated.key_id,
        expires_at=rotated.expires_at,
    )
    _call(hook, delivery, destination.place)


@raising_anew
def _call(hook: Callable[[Delivery], None], delivery: Delivery, name: str) -> None:
    try:
        hook(delivery)
    except Exception as error:
        if is_interruption(error):
            raise
        # Whatever the site's code raises, and without its text: it may quote the value.
        failure = DeliveryError(f"The hook {name!r} raised {type(error).__name__}.")
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
