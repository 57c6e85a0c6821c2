"""Hot path. The bodies of requests: how large each may be, how long it may take, how much all of them hold at once."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from routing.endpoints.base import has_known_key
from smartrouter.lib.deadlines import Deadline
from smartrouter.lib.errors import RouterError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

MIB = 1024 * 1024
# Chat bodies carry images; all others are small.
CHAT_BODY_MB = 32
BODY_MB = 1
# So much of a body is taken in before the key is looked at.
ANONYMOUS_AT_MOST = 64 * 1024
_CHAT_PATHS = frozenset(("/v1/chat/completions", "/v1/route"))
_buffered = 0


class ClientLeft(Exception):
    """The client closed the connection before its body was complete."""


@dataclass(frozen=True, slots=True)
class Caps:
    """What the settings allow: bytes of a chat body, of another one and of all together; seconds for receiving one."""

    chat: int
    other: int
    together: int
    within_s: float


@cache
def _caps() -> Caps:
    """Read once: a look into Django's settings takes longer than all that is done with them here."""
    return Caps(
        chat=int((settings.MAX_BODY_MB or CHAT_BODY_MB) * MIB),
        other=int(min(settings.MAX_BODY_MB or BODY_MB, BODY_MB) * MIB),
        together=int(settings.MAX_BUFFERED_MB * MIB),
        within_s=float(settings.BODY_RECEIVE_SECONDS),
    )


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body, counted until release(). Raises RouterError 413, 415, 408 or 503, and ClientLeft: then it is not."""
    global _buffered
    caps = _caps()
    cap = caps.chat if scope["path"] in _CHAT_PATHS else caps.other
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > cap:
            raise _too_large(cap)
        if name == b"content-encoding" and value not in (b"", b"identity"):
            message = _("Send the body without compression.")
            raise RouterError(415, "unsupported_encoding", message)
    parts: list[bytes] = []
    size = kept = 0
    is_known = False
    try:
        with Deadline(asyncio.get_running_loop().time() + caps.within_s):
            while True:
                event = await receive()
                if event["type"] == "http.disconnect":
                    raise ClientLeft
                part: bytes = event.get("body", b"")
                size += len(part)
                if size > cap:
                    raise _too_large(cap)
                if size > ANONYMOUS_AT_MOST and not is_known:
                    is_known = has_known_key(scope["headers"])
                    if not is_known:
                        # Counted, for the right answer, and not kept: whoever has no key takes up no memory.
                        parts = [b""]
                        part = b""
                        _buffered -= kept
                        kept = 0
                parts.append(part)
                kept += len(part)
                _buffered += len(part)
                if _buffered > caps.together:
                    text = _("The router is holding too many large requests.")
                    raise RouterError(503, "overloaded", text, kind="server_error", retry_after_s=5)
                if not event.get("more_body"):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError as e:
        _buffered -= kept
        raise RouterError(408, "request_timeout", _("The body did not arrive in time.")) from e
    except BaseException:
        _buffered -= kept
        raise


def release(size: int) -> None:
    """A body of this size takes up no memory any more."""
    global _buffered
    _buffered -= size


def _too_large(cap: int) -> RouterError:
    return RouterError(413, "request_too_large", _("The body is larger than %d bytes.") % cap)
