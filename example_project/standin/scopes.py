"""What a scope parameter asks for."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import Refusal
from .permissions import GRAPH, OIDC_SCOPES, Resource, find_resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The part of a scope parameter that is about one resource."""

    resource: Resource
    identifier: str
    names: tuple[str, ...] = ()

    @property
    def default(self) -> bool:
        return ".default" in self.names

    def qualified(self, name: str) -> str:
        return f"{self.identifier}/{name}" if self.identifier else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Scopes:
    text: str
    oidc: tuple[str, ...]
    resources: tuple[Asked, ...]

    @property
    def first(self) -> Asked:
        """The resource the token will be for; Graph when only OIDC scopes were asked for."""
        if self.resources:
            return self.resources[0]
        return Asked(resource=GRAPH, identifier=GRAPH.identifiers[0])


def parse_scopes(text: str, *, unknown_permission: int) -> Scopes:
    """Read a scope parameter, or refuse it as Entra does."""
    oidc: list[str] = []
    found: dict[str, Asked] = {}
    for scope in text.split():
        identifier, _, name = scope.rpartition("/")
        if name in OIDC_SCOPES and identifier in ("", GRAPH.identifiers[0]):
            oidc.append(name)
            continue
        asked = _read_one(scope, identifier, name, unknown_permission)
        before = found.get(asked.resource.key, asked)
        names = tuple(dict.fromkeys((*before.names, *asked.names)))
        if ".default" in names and len(names) > 1:
            raise Refusal(70011, scope=text)
        found[asked.resource.key] = Asked(
            resource=asked.resource,
            identifier=before.identifier or asked.identifier,
            names=names,
        )
    return Scopes(text=text, oidc=tuple(dict.fromkeys(oidc)), resources=tuple(found.values()))


def _read_one(scope: str, identifier: str, name: str, unknown_permission: int) -> Asked:
    resource = find_resource(identifier) if identifier else GRAPH
    if resource is None and "://" not in identifier:
        raise Refusal(70011, scope=scope)
    if resource is None:
        raise Refusal(500011, resource=identifier)
    if name != ".default" and resource.permission(name) is None:
        raise Refusal(unknown_permission, scope=name, resource=resource.app_id)
    return Asked(resource=resource, identifier=identifier.rstrip("/"), names=(name,))
