"""The control API's switches for vaults and stores."""

from __future__ import annotations

from .control import Body, Mistake, account_named, control
from .roles import ROLES
from .state import STATE


@control("POST")
def roles(method: str, body: Body) -> None:
    """POST {"account": upn, "place": vault or store, "role"}: its only role there; "" for none."""
    account, place, role = account_named(body["account"]), body["place"], body["role"]
    if place not in (*STATE.vaults, *STATE.stores):
        raise Mistake(f"unknown vault or store {place!r}")
    if role not in ("", *ROLES):
        raise Mistake(f"unknown role {role!r}")
    STATE.roles.assign(account, place, role)


@control("POST")
def data_planes(method: str, body: Body) -> None:
    """POST {"looks_until_settled"?: n, "page_size"?: n}.

    looks_until_settled: how often a secret that was just deleted, or recovered, answers 404 or
    409 before it is where it should be; 1 unless told. page_size: of App Configuration.
    """
    STATE.looks_until_settled = int(body.get("looks_until_settled", STATE.looks_until_settled))
    STATE.page_size = int(body.get("page_size", STATE.page_size))
