"""Hot path. What a chat request must look like before anything is sent anywhere."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.translation import gettext as _

from channels.records import Candidate
from smartrouter.lib.errors import RouterError

ROLES = frozenset(("developer", "system", "user", "assistant", "tool", "function"))
# Fields whose wrong type would make us misjudge the request; everything else is the upstream's to judge.
CHOICES_AT_MOST = 128
_POSITIVE = ("max_tokens", "max_completion_tokens", "n")
_CONTENT = frozenset((str, list, type(None)))
_FLAG = frozenset((bool, type(None)))
_OBJECT = frozenset((dict, type(None)))
_TOOL_TYPES = frozenset(("function", "custom"))


def check_chat(body: Mapping[str, Any]) -> str:
    """The requested model's name. Raises RouterError 400 with the param that is wrong."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise _wrong("model", _("“model” is required: the name of a model or a model group."))
    if len(model) > 200:
        raise _wrong("model", _("“model” is too long."))
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _wrong("messages", _("“messages” is required: a list of at least one message."))
    for index, message in enumerate(messages):
        # type() is: bodies are fresh from the JSON parser, which makes no subclasses.
        if type(message) is not dict:
            raise _wrong(f"messages[{index}]", _("Each message has to be an object."))
        role = message.get("role")
        if type(role) is not str or role not in ROLES:
            known = ", ".join(sorted(ROLES))
            raise _wrong(f"messages[{index}].role", _("A message's role is one of: %s.") % known)
        if type(message.get("content")) not in _CONTENT:
            raise _wrong(f"messages[{index}].content", _("A message's content is a text or a list of parts."))
    if type(body.get("stream")) not in _FLAG:
        raise _wrong("stream", _("“stream” is true or false."))
    if type(body.get("stream_options")) not in _OBJECT:
        raise _wrong("stream_options", _("“stream_options” has to be an object."))
    for name in _POSITIVE:
        value = body.get(name)
        if value is not None and (type(value) is not int or value < 1):
            raise _wrong(name, _("“%s” has to be a whole number above 0.") % name)
    if (body.get("n") or 1) > CHOICES_AT_MOST:
        raise _wrong("n", _("“n” may be at most %d.") % CHOICES_AT_MOST)
    if body.get("tools") is not None:
        _check_tools(body["tools"])
    return model


def _check_tools(tools: Any) -> None:
    if not isinstance(tools, list):
        raise _wrong("tools", _("“tools” has to be a list."))
    for index, tool in enumerate(tools):
        # A vendor's built-in tools (search, code) cost extra, by rules that we do not know.
        kind = tool.get("type") if isinstance(tool, dict) else None
        if type(kind) is not str or kind not in _TOOL_TYPES:
            raise _wrong(f"tools[{index}].type", _("Only tools of type function or custom are supported."))


def check_guarded(body: dict[str, Any], candidates: Iterable[Candidate]) -> None:
    """Refuse fields that change which model answers or what it costs; take out those that mean the default."""
    for guarded in {id(c.channel.adapter.guarded): c.channel.adapter.guarded for c in candidates}.values():
        for name in body.keys() & guarded.keys():
            value = body[name]
            if value is not None and value not in guarded[name].harmless:
                raise _wrong(name, _("“%s” is not supported: it would change which model answers or its price.") % name)
            del body[name]


def _wrong(param: str, message: str) -> RouterError:
    return RouterError(400, "invalid_request", message, param=param)
