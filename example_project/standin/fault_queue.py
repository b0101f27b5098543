"""Faults waiting for the request that they will hit."""

from __future__ import annotations

from dataclasses import dataclass

from .faults import Fault, Where


@dataclass(slots=True, kw_only=True)
class Planned:
    fault: Fault
    # None: until cleared.
    times: int | None = 1
    seconds: float | None = None
    tenant_id: str = ""
    grant_type: str = ""
    # Chosen on the sign-in page: gone when the next sign-in begins.
    one_sign_in: bool = False

    def hits(self, where: Where, tenant_id: str, grant_type: str) -> bool:
        return (
            self.fault.where == where
            and self.tenant_id in ("", tenant_id)
            and self.grant_type in ("", grant_type)
        )


class FaultQueue:
    def __init__(self) -> None:
        self._planned: list[Planned] = []

    def add(self, planned: Planned) -> None:
        self._planned.append(planned)

    def clear(self) -> None:
        self._planned.clear()

    def begin_sign_in(self) -> None:
        self._planned = [planned for planned in self._planned if not planned.one_sign_in]

    def take(self, where: Where, *, tenant_id: str = "", grant_type: str = "") -> Planned | None:
        """The oldest fault planned for such a request, counted down."""
        for planned in self._planned:
            if not planned.hits(where, tenant_id, grant_type):
                continue
            if planned.times is not None:
                planned.times -= 1
                if planned.times <= 0:
                    self._planned.remove(planned)
            return planned
        return None

    def pending(self) -> list[Planned]:
        return list(self._planned)
