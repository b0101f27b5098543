"""One person's way through the sign-in pages."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from .directory import Account, Tenant
from .fault_queue import Planned
from .faults import FAULTS, LATER, Fault
from .scopes import Scopes
from .state import STATE

_REMEMBERED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where and how the answer goes back to the application."""

    redirect_uri: str
    mode: str
    state: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInRequest:
    # None: at one of the shared paths (common, organizations).
    tenant: Tenant | None
    # What a code is bound to: the tenant's GUID, or the shared path.
    path: str
    destination: Destination
    scopes: Scopes
    prompt: str = ""
    nonce: str = ""
    challenge: str = ""
    challenge_method: str = ""
    login_hint: str = ""
    client_info: bool = False
    admin_consent: bool = False


@dataclass(slots=True, kw_only=True)
class Visit:
    request: SignInRequest
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    account: Account | None = None
    fault: Fault | None = None
    later_fault: Fault | None = None

    def choose_fault(self, choice: str) -> None:
        """Take what was chosen under "Make something go wrong"."""
        fault = FAULTS.get(choice.removeprefix(LATER))
        self.fault = self.later_fault = None
        STATE.faults.begin_sign_in()
        if choice.startswith(LATER):
            self.later_fault = fault
        elif fault is not None and fault.where in ("discovery", "jwks"):
            # Nothing ties those requests to this visit, so they fail until the next one.
            STATE.faults.add(Planned(fault=fault, times=None, one_sign_in=True))
        else:
            self.fault = fault


def begin_visit(request: SignInRequest) -> Visit:
    visit = Visit(request=request)
    with STATE.lock:
        STATE.faults.begin_sign_in()
        STATE.visits[visit.id] = visit
        while len(STATE.visits) > _REMEMBERED:
            STATE.visits.popitem(last=False)
    return visit
