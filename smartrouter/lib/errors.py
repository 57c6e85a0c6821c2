"""Hot path. The errors that rooms raise to one another; only endpoints turn them into a wire format."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class RouterError(Exception):
    """An answer other than success: an HTTP status, a stable English code, a message for people."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        kind: str = "invalid_request_error",
        retry_after_s: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.kind = kind
        self.retry_after_s = retry_after_s
        self.metadata = metadata

    def body(self) -> dict[str, Any]:
        """The documented error object: all four keys always, metadata where there is any."""
        error: dict[str, Any] = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        if self.metadata:
            error["metadata"] = dict(self.metadata)
        return {"error": error}


class ErrorClass(StrEnum):
    """What an upstream's failure means for the caller and for the channel (failure handling, DESIGN section 6)."""

    REQUEST = "request"  # the caller's fault: back to the caller, no failover
    CONTEXT = "context"  # longer than the model's context
    CONTENT = "content"  # refused for what it says
    KEY = "key"  # this key is dead, unpaid or wrong
    KEY_MODEL = "key_model"  # this key may not use this model
    MODEL = "model"  # the vendor does not have this model
    RATE = "rate"  # too fast; try later
    TRANSIENT = "transient"  # refused, reset, timed out, 5xx
    GARBAGE = "garbage"  # answered, but not with what the dialect promises
    CHANNEL = "channel"  # the address is wrong


@dataclass(slots=True)
class UpstreamError(Exception):
    """One attempt failed, classified by its adapter.

    message is safe to show to callers: no keys, organisation or account ids. Ours are English, marked with gettext_noop, and
    translated where they are shown (smartrouter.lib.language). status is the upstream's HTTP status, None
    where none came. timed_out tells a deadline from the other TRANSIENT ones; is_unanswered a connection that closed
    before a byte of an answer.
    """

    kind: ErrorClass
    message: str
    status: int | None = None
    code: str | None = None
    param: str | None = None
    retry_after_s: float | None = None
    timed_out: bool = False
    is_unanswered: bool = False

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.message}"
