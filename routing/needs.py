"""Hot path. What a chat request needs of a model, read from its body."""

from collections.abc import Mapping
from typing import Any

from providers.capabilities import AUDIO, BITS, FUNCTION_CALLING, JSON_SCHEMA, VISION

_TOOLS, _VISION, _SCHEMA, _AUDIO = (BITS[name] for name in (FUNCTION_CALLING, VISION, JSON_SCHEMA, AUDIO))
# OpenAI: image_url, input_audio, file (a PDF, of which the model gets pictures of the pages: only models with vision take
# it). The others are what compatible vendors call the same, and Qwen's videos, which are sequences of pictures.
_OF_PART = {
    "image_url": _VISION,
    "image": _VISION,
    "input_image": _VISION,
    "file": _VISION,
    "input_file": _VISION,
    "video_url": _VISION,
    "video": _VISION,
    "input_audio": _AUDIO,
    "audio_url": _AUDIO,
    "audio": _AUDIO,
}
_TOOL_ROLES = frozenset(("tool", "function"))


def needs_of(body: Mapping[str, Any]) -> int:
    """Bits of providers.capabilities: tools, images, audio, a JSON schema. body: one that was checked."""
    needs = _TOOLS if body.get("tools") or body.get("functions") else 0
    form = body.get("response_format")
    if type(form) is dict and form.get("type") == "json_schema":
        needs |= _SCHEMA
    modalities = body.get("modalities")
    if body.get("audio") or (type(modalities) is list and "audio" in modalities):
        needs |= _AUDIO
    for message in body["messages"]:
        if type(message.get("content")) is str and len(message) == 2 and message["role"] not in _TOOL_ROLES:
            continue  # a role and a text: most messages
        if message["role"] in _TOOL_ROLES or message.get("tool_calls") or message.get("function_call"):
            needs |= _TOOLS
        if message.get("audio"):  # an earlier answer that was spoken
            needs |= _AUDIO
        content = message.get("content")
        if type(content) is list:
            for part in content:
                if type(part) is dict:
                    kind = part.get("type")
                    if type(kind) is str:
                        needs |= _OF_PART.get(kind, 0)
                    elif kind is None:  # some upstreams go by what is in it
                        for name in part.keys() & _OF_PART.keys():
                            needs |= _OF_PART[name] if type(part[name]) in (dict, str) else 0
    return needs
