"""Hot path. What an adapter is, and how to add a vendor.

A vendor that speaks the OpenAI dialect is a Provider row with adapter "openai" and needs no code. A vendor with quirks is
one file in this folder: `VENDOR = dataclasses.replace(OPENAI, name="vendor", ...)` with the functions that differ, and one
line in registry.py. Functions are pure: they get bytes, headers and dicts, and give dicts, headers and errors. What is
vendor-specific (addresses, authentication, error codes) belongs here; what is specific to a wire format belongs in
providers/dialects.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from smartrouter.lib.errors import UpstreamError


@dataclass(frozen=True, slots=True)
class FieldRule:
    """What happens to a request field that changes which model answers or what it costs.

    drops: taken out silently when its value is one of these (they mean "the default"); any other value is refused.
    """

    harmless: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Adapter:
    """How to speak to a provider.

    chat_path is appended to the base URL. auth_headers gives the headers for a plain key. classify turns a failed answer
    (status, headers, body) into an UpstreamError. is_cost_reported: usage carries a `cost` in USD that is what we pay.
    refuses_stream_options: the upstream answers 400 to stream_options. guarded: see FieldRule.
    """

    name: str
    label: str
    dialect: str
    chat_path: str
    models_path: str
    auth_headers: Callable[[str], Mapping[str, str]]
    classify: Callable[[int, Mapping[str, str], bytes], UpstreamError]
    guarded: Mapping[str, FieldRule]
    is_cost_reported: bool = False
    refuses_stream_options: bool = False
