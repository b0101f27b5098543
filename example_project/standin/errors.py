"""A refusal by Entra, as JSON of the token endpoint and as redirect parameters."""

from __future__ import annotations

from .aadsts import CHALLENGE, SHAPES, Shape
from .trace import Trace


class _Words(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "unknown"


class Refusal(Exception):
    """Entra says no. Where it is caught decides whether that is JSON, a page or a redirect."""

    def __init__(self, code: int, *, text: str = "", **words: str) -> None:
        super().__init__(code)
        self.code = code
        self.text = (text or SHAPES[code].text).format_map(_Words(words))

    @property
    def shape(self) -> Shape:
        return SHAPES[self.code]

    def description(self, trace: Trace) -> str:
        """The four lines of error_description."""
        return "\r\n".join(
            (
                f"AADSTS{self.code}: {self.text}",
                f"Trace ID: {trace.trace_id}",
                f"Correlation ID: {trace.correlation_id}",
                f"Timestamp: {trace.timestamp}",
            )
        )

    def body(self, trace: Trace, origin: str) -> dict[str, object]:
        """The JSON object of the token endpoint."""
        shape = self.shape
        body: dict[str, object] = {
            "error": shape.error,
            "error_description": self.description(trace),
            "error_codes": [self.code],
            "timestamp": trace.timestamp,
            "trace_id": trace.trace_id,
            "correlation_id": trace.correlation_id,
            "error_uri": f"{origin}/error?code={self.code}",
        }
        if shape.suberror:
            body["suberror"] = shape.suberror
        if shape.with_claims:
            body["claims"] = CHALLENGE
        return body

    def parameters(self, trace: Trace, origin: str) -> list[tuple[str, str]]:
        """The parameters of an error redirect, without state."""
        return [
            ("error", self.shape.error),
            ("error_description", self.description(trace)),
            ("error_uri", f"{origin}/error?code={self.code}"),
        ]
