"""Hot path. One attempt against one upstream: one key, one socket, one classified error."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import orjson
from django.utils.translation import gettext_noop

from channels.records import Candidate, ChannelRecord, KeyRecord
from providers.dialects import openai_chat
from smartrouter.lib.errors import ErrorClass, UpstreamError
from smartrouter.lib.outbound import REQUEST_ARGUMENTS, Reply, is_refused, post
from smartrouter.lib.sse import EventSplitter, EventTooLarge, data_of, event_of

# An upstream's answer, whichever way it came.
Response = Reply | aiohttp.ClientResponse

ERROR_BODY_AT_MOST = 64 * 1024
ANSWER_AT_MOST = 64 * 1024 * 1024
EVENT_AT_MOST = 16 * 1024 * 1024
# Role chunks, keep-alive comments and prompt filters come before the first content; more than this is no answer.
HELD_AT_MOST = 1024 * 1024
# A shorter value (a flag, a version) is no secret, and would be found in any text.
SECRET_AT_LEAST = 8


def headers_of(channel: ChannelRecord, key: KeyRecord | None, attempt_tag: str) -> dict[str, str]:
    """The request headers: the channel's extra ones first, so that they replace none of ours."""
    headers = dict(channel.headers.reveal()) if channel.headers else {}
    headers["X-Request-Id"] = attempt_tag
    if key is not None:
        headers.update(channel.adapter.auth_headers(key.secret.reveal()))
    return headers


async def send_request(
    session: aiohttp.ClientSession, candidate: Candidate, payload: bytes, headers: Mapping[str, str]
) -> Response:
    """The upstream's answer with status 200, headers read, body not. The caller sets the deadline and releases it.

    Raises UpstreamError for everything else, with the connection given back.
    """
    channel = candidate.channel
    try:
        if channel.proxy_url is None:
            response: Response = await post(session, channel.chat, headers, payload, timeout=channel.timeout)
        else:
            response = await _post_by_proxy(session, channel, channel.proxy_url.reveal(), headers, payload)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as e:
        raise failure_of(e, is_unanswered=is_hang_up(e)) from e
    if response.status == 200:
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            response.close()
            raise UpstreamError(
                ErrorClass.GARBAGE, gettext_noop("the answer is in an encoding that was not asked for"), 200
            )
        return response
    body = b""
    try:
        # One read gives what has arrived, and half an error object would be taken for a page of something else.
        while len(body) < ERROR_BODY_AT_MOST and (part := await response.content.readany()):
            body += part
    except (aiohttp.ClientError, OSError) as e:
        raise failure_of(e) from e
    finally:
        response.close()
    lowered = {name.lower(): value for name, value in response.headers.items()}
    raise channel.adapter.classify(response.status, lowered, without_secrets(channel, body))


async def _post_by_proxy(
    session: aiohttp.ClientSession, channel: ChannelRecord, proxy: str, headers: Mapping[str, str], payload: bytes
) -> aiohttp.ClientResponse:
    """The answer through a proxy: seldom, and the session knows how; its middleware judges the target."""
    data = aiohttp.BytesPayload(payload, content_type="application/json")
    return await session.post(
        channel.chat.url, data=data, headers=headers, timeout=channel.timeout, proxy=proxy, **REQUEST_ARGUMENTS
    )


def without_secrets(channel: ChannelRecord, text: bytes) -> bytes:
    """An upstream's words without what we sent in confidence: it may quote a key of any shape, a header, the proxy's login.

    Before anything is read from them or cut off, so that no code, parameter or half of a secret remains.
    """
    for secret in _secrets_of(channel):
        if len(secret) >= SECRET_AT_LEAST:
            for form in {secret.encode(), orjson.dumps(secret)[1:-1]}:
                text = text.replace(form, b"***")
    return text


def _secrets_of(channel: ChannelRecord) -> Iterator[str]:
    yield from (key.secret.reveal() for key in channel.keys)
    if channel.headers:
        yield from channel.headers.reveal().values()
    if channel.proxy_url:
        login = unquote(urlsplit(channel.proxy_url.reveal()).netloc.rpartition("@")[0])
        yield login
        yield b64encode(login.encode()).decode()  # as Proxy-Authorization has it
        yield login.partition(":")[2]


def is_hang_up(error: BaseException) -> bool:
    """Whether a connection ended while a request was sent; most often a kept one that the upstream had just given up."""
    return isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionResetError)


def failure_of(error: BaseException, *, is_unanswered: bool = False) -> UpstreamError:
    """The classified error of a network failure. Its message names no address: callers may see it."""
    if is_refused(error):
        return UpstreamError(ErrorClass.CHANNEL, gettext_noop("the channel's address is not allowed"))
    if isinstance(error, aiohttp.ClientResponseError):
        return UpstreamError(ErrorClass.GARBAGE, gettext_noop("the upstream did not answer in HTTP"))
    if isinstance(error, aiohttp.InvalidURL | ValueError) and not isinstance(error, OSError):
        return UpstreamError(ErrorClass.CHANNEL, gettext_noop("the channel's address or headers are wrong"))
    if isinstance(error, TimeoutError):
        return UpstreamError(
            ErrorClass.TRANSIENT, gettext_noop("the upstream could not be reached in time"), timed_out=True
        )
    if isinstance(error, aiohttp.ClientSSLError):
        return UpstreamError(ErrorClass.TRANSIENT, gettext_noop("the upstream's certificate is not valid"))
    if isinstance(error, aiohttp.ClientConnectorError):
        return UpstreamError(ErrorClass.TRANSIENT, gettext_noop("the upstream could not be reached"))
    if is_unanswered:
        return UpstreamError(
            ErrorClass.TRANSIENT, gettext_noop("the upstream closed the connection"), is_unanswered=True
        )
    return UpstreamError(ErrorClass.TRANSIENT, gettext_noop("the connection to the upstream broke"))


def error_in(channel: ChannelRecord, doc: Mapping[str, Any]) -> UpstreamError | None:
    """The classified error of an answer or event that carries an error object under status 200; None where none."""
    found = openai_chat.error_object(doc)
    if not found:
        return None
    code = found.get("code") if isinstance(found, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    return channel.adapter.classify(status, {}, without_secrets(channel, orjson.dumps({"error": found})))


async def read_answer(response: Response, channel: ChannelRecord) -> dict[str, Any]:
    """A whole, plain answer. Raises UpstreamError: GARBAGE where it is not a completion."""
    parts, size = [], 0
    try:
        while part := await response.content.readany():
            size += len(part)
            if size > ANSWER_AT_MOST:
                response.close()
                raise UpstreamError(ErrorClass.GARBAGE, gettext_noop("the answer is too large"), 200)
            parts.append(part)
    except (aiohttp.ClientError, OSError) as e:
        raise failure_of(e) from e
    doc = parse_object(parts[0] if len(parts) == 1 else b"".join(parts))
    error = error_in(channel, doc)
    if error:
        raise error
    if not isinstance(doc.get("choices"), list) or not doc["choices"]:
        raise UpstreamError(ErrorClass.GARBAGE, gettext_noop("the answer has no choices"), 200)
    return doc


def parse_object(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises UpstreamError GARBAGE: HTML, broken JSON, wrong UTF-8, another type."""
    try:
        doc = orjson.loads(data)
    except orjson.JSONDecodeError as e:
        raise UpstreamError(ErrorClass.GARBAGE, gettext_noop("the answer is not JSON"), 200) from e
    if not isinstance(doc, dict):
        raise UpstreamError(ErrorClass.GARBAGE, gettext_noop("the answer is not a JSON object"), 200)
    return doc


class EventStream:
    """The events of one streamed answer; cut off, garbled or overlong input raises UpstreamError."""

    __slots__ = ("_channel", "_is_over", "_response", "_splitter")

    def __init__(self, response: Response, channel: ChannelRecord) -> None:
        self._response = response
        self._channel = channel
        self._splitter = EventSplitter(EVENT_AT_MOST)
        self._is_over = False

    async def read(self) -> list[bytes] | None:
        """The events of the next piece of network data (maybe none yet); None at the end of the body."""
        try:
            piece = await self._response.content.readany()
            return self._splitter.feed(piece) if piece else self._last_events() or None
        except EventTooLarge as e:
            raise UpstreamError(ErrorClass.GARBAGE, gettext_noop("an event of the stream is too large"), 200) from e
        except (aiohttp.ClientError, OSError) as e:
            raise failure_of(e) from e

    def _last_events(self) -> list[bytes]:
        """What the end of the body completes; many servers forget the blank line after [DONE]."""
        last = self._splitter.finish()
        if not last and data_of(self._splitter.rest).strip() == openai_chat.DONE and not self._is_over:
            last = [event_of(openai_chat.DONE)]
        self._is_over = True
        return last

    async def read_until_content(self) -> tuple[list[bytes], int]:
        """The events up to and with those that came with the first content, and the index of that first one.

        Raises UpstreamError where an error, garbage or the end comes first.
        """
        held: list[bytes] = []
        size = 0
        while True:
            events = await self.read()
            if events is None:
                self._check_page(b"".join(held) + self._splitter.rest)
                raise UpstreamError(ErrorClass.GARBAGE, gettext_noop("the stream ended before any content"), 200)
            for index, event in enumerate(events, len(held)):
                size += len(event)
                if self._commits(event):
                    return held + events, index
            held += events
            if size > HELD_AT_MOST:
                raise UpstreamError(ErrorClass.GARBAGE, gettext_noop("the stream has no content"), 200)

    def _check_page(self, body: bytes) -> None:
        """Raise the error of a body that is an error object, or not JSON, and not a stream at all."""
        if not body or body.startswith((b"data:", b":", b"event:")):
            return
        error = error_in(self._channel, parse_object(body))
        if error:
            raise error

    def _commits(self, event: bytes) -> bool:
        data = data_of(event)
        if not data:
            return False
        if data.strip().startswith(openai_chat.DONE):
            raise UpstreamError(ErrorClass.GARBAGE, gettext_noop("the stream ended before any content"), 200)
        doc = parse_object(data)
        error = error_in(self._channel, doc)
        if error:
            raise error
        return openai_chat.has_content(doc)

    def close(self) -> None:
        """Drop the connection, so that the upstream stops at once."""
        self._response.close()

    def release(self) -> None:
        """Give the connection back; only after the body's end."""
        self._response.release()
