"""Hot path. The lines of the spool and how one append looks in the file: `crc32 [line, ...]`, in JSON."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any
from zlib import crc32

import msgspec

# Checked when a line is read: what fails is kept in its file and reported, instead of stopping the lines behind it.
Id = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
Millis = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]  # up to the year 9999
Day = Annotated[int, msgspec.Meta(ge=1, le=3_652_059)]  # date.toordinal(), up to the same year
# Raw where a line was read: it goes into the database as it stands here.
Json = Mapping[str, Any] | msgspec.Raw | None
NULL = msgspec.Raw(b"null")


# Lines are arrays: new fields go to the end, with a default. A line whose meaning changes gets a new tag (o2 ...).
class OpenLine(msgspec.Struct, tag="o1", array_like=True, kw_only=True, frozen=True, gc=False):
    """An attempt is about to be sent. The money is what it comes to if nothing more is heard: the prompt alone.

    scopes: whom it is counted for, each with the local day of its admission.
    """

    attempt_id: Id
    request_id: Id
    attempt: int
    endpoint: str
    is_streamed: bool
    admitted_ms: Millis
    started_ms: Millis
    tenant: str
    tenant_ref: int
    router_key: str
    router_key_ref: int
    end_user: str = ""
    client_request_id: str = ""
    requested_model: str
    group: str = ""
    offering: str
    provider: str
    channel: str
    channel_key: str = ""
    upstream_model: str
    prompt_tokens: int
    cost_nusd: int | None
    charge_nusd: int | None
    price: Json = None
    session_id: str | None = None
    trace: Json = None
    scopes: tuple[tuple[str, Day], ...] | None = None


class CheckpointLine(msgspec.Struct, tag="p1", array_like=True, kw_only=True, frozen=True, gc=False):
    """What a stream has come to so far, prompt included in the money."""

    attempt_id: Id
    completion_tokens: int
    at_ms: Millis
    cost_nusd: int | None
    charge_nusd: int | None


class CloseLine(msgspec.Struct, tag="c1", array_like=True, kw_only=True, frozen=True, gc=False):
    """How an attempt ended; status is one of UsageRecord.Status. What stands here is final: nothing is priced again."""

    attempt_id: Id
    is_billable: bool
    status: str
    duration_ms: int
    first_content_ms: int | None = None
    http_status: int | None = None
    error_class: str = ""
    error_message: str = ""
    finish_reason: str = ""
    reported_model: str = ""
    is_model_mismatch: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_tokens: int = 0
    is_estimated: bool = False
    cost_nusd: int | None
    charge_nusd: int | None
    is_cost_reported: bool = False
    price: Json = None


class _OpenRead(OpenLine, kw_only=True, frozen=True, gc=False):
    price: msgspec.Raw = NULL
    trace: msgspec.Raw = NULL


class _CloseRead(CloseLine, kw_only=True, frozen=True, gc=False):
    price: msgspec.Raw = NULL


Line = OpenLine | CheckpointLine | CloseLine
_encode = msgspec.json.Encoder().encode
decode_lines = msgspec.json.Decoder(list[_OpenRead | CheckpointLine | _CloseRead]).decode


def encode_record(lines: Iterable[Line]) -> bytes:
    """The bytes of one append."""
    try:
        payload = _encode(list(lines))
    except UnicodeEncodeError:  # half a surrogate pair in what an upstream or a client sent
        payload = _encode([_without_surrogates(line) for line in lines])
    return b"%08x %b\n" % (crc32(payload), payload)


def _without_surrogates(line: Line) -> Line:
    texts = {name: value for name in line.__struct_fields__ if isinstance(value := getattr(line, name), str)}
    changed: dict[str, Any] = {name: _encodable(text) for name, text in texts.items()}
    if isinstance(line, OpenLine) and line.scopes:
        changed["scopes"] = tuple((_encodable(key), day) for key, day in line.scopes)
    return msgspec.structs.replace(line, **changed)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
