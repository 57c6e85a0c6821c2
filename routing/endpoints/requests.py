"""Hot path. What a chat request must look like before anything is sent anywhere."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.translation import gettext as _

from providers.adapters.registry import ADAPTERS
from providers.naming import canonical_name
from routing.resolve import NAMES_AT_MOST, Caller, Stage, resolve
from routing.strategies import PRESETS, Strategy, check_preset
from routing.table import RoutingTable
from smartrouter.lib.errors import RouterError

ROLES = frozenset(("developer", "system", "user", "assistant", "tool", "function"))
# Fields whose wrong type would make us misjudge the request; everything else is the upstream's to judge.
CHOICES_AT_MOST = 128
NAME_AT_MOST = 200
# More than three attempts ever reach: the names that were asked for, and their fallback groups.
STAGES_AT_MOST = 32
NUMBER_AT_MOST = 2**31 - 1
_POSITIVE = ("max_tokens", "max_completion_tokens", "n")
_CONTENT = frozenset((str, list, type(None)))
_FLAG = frozenset((bool, type(None)))
_OBJECT = frozenset((dict, type(None)))
_TOOL_TYPES = frozenset(("function", "custom"))


def names_asked_for(body: dict[str, Any], default: str) -> dict[str, str]:
    """The names that the request wants to be tried, in order, each with the param that it stands in: `model`, then those of
    `models`, which is taken out.

    default: for a request that names none. Raises RouterError 400.
    """
    model, models = body.get("model"), body.pop("models", None)
    if model is not None and type(model) is not str:
        raise _wrong("model", _("“model” has to be a name."))
    places = {model: "model"} if model else {}
    if models is not None:
        if type(models) is not list:
            raise _wrong("models", _("“models” is a list of names, tried in this order."))
        if len(models) > NAMES_AT_MOST:
            raise _wrong("models", _("“models” may have at most %d names.") % NAMES_AT_MOST)
        for index, name in enumerate(models):
            if type(name) is not str or not name:
                raise _wrong(f"models[{index}]", _("“models” is a list of names, tried in this order."))
            places.setdefault(name, f"models[{index}]")
    if not places:
        if not default:
            raise _wrong("model", _("“model” is required: the name of a model or a model group."))
        return {default: "model"}
    for name, param in places.items():
        if len(name) > NAME_AT_MOST:
            raise _wrong(param, _("A model's name has at most %d characters.") % NAME_AT_MOST)
    return places


def stages_for(
    table: RoutingTable, places: Mapping[str, str], caller: Caller, *, at_ms: int, override: Strategy | None
) -> list[Stage]:
    """The stages of all names, in order; a refusal says in which param its name stands. Raises RouterError as resolve."""
    stages: dict[int | str, Stage] = {}
    for name, param in places.items():
        try:
            found = resolve(table, (name,), caller, at_ms=at_ms, override=override)
        except RouterError as e:
            e.param = param
            raise
        for stage in found:  # what several names lead to is looked at once
            stages.setdefault(stage.group.ref if stage.group is not None else canonical_name(stage.name), stage)
    return list(stages.values())[:STAGES_AT_MOST]


def wish_of(headers: Mapping[str, Any], caller: Caller, table: RoutingTable) -> tuple[Strategy | None, str]:
    """The strategy and the provider that the request's headers ask for; None and empty where they do not.

    Raises RouterError 403 for a key that may not choose, 400 for a strategy or provider that does not exist.
    """
    name, provider = headers.get("HTTP_X_SMARTROUTER_STRATEGY"), headers.get("HTTP_X_SMARTROUTER_PROVIDER")
    if not name and not provider:
        return None, ""
    if not caller.key.can_choose_strategy:
        message = _(
            "This key may not choose the strategy; leave out x-smartrouter-strategy and x-smartrouter-provider."
        )
        raise RouterError(403, "strategy_not_allowed", message, kind="permission_error")
    if name:
        try:
            check_preset(name)
        except ValueError as e:
            raise _wrong("x-smartrouter-strategy", str(e)) from e
    if provider and provider not in table.provider_names:
        raise _wrong("x-smartrouter-provider", _("There is no provider “%s”.") % provider)
    return (PRESETS[name] if name else None), str(provider or "")


def check_chat(body: Mapping[str, Any]) -> None:
    """Raise RouterError 400 with the param that is wrong."""
    check_messages(body.get("messages"))
    check_options(body)


def check_messages(messages: Any) -> None:
    """Raise RouterError 400 unless these are messages."""
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


def check_options(body: Mapping[str, Any]) -> None:
    """Raise RouterError 400 with the param that is wrong, other than the messages."""
    if type(body.get("stream")) not in _FLAG:
        raise _wrong("stream", _("“stream” is true or false."))
    if type(body.get("stream_options")) not in _OBJECT:
        raise _wrong("stream_options", _("“stream_options” has to be an object."))
    for name in _POSITIVE:
        check_positive(body, name)
    if (body.get("n") or 1) > CHOICES_AT_MOST:
        raise _wrong("n", _("“n” may be at most %d.") % CHOICES_AT_MOST)
    if body.get("tools") is not None:
        _check_tools(body["tools"])


def check_positive(body: Mapping[str, Any], name: str) -> None:
    """Raise RouterError 400 unless the field is a whole number above 0, or not there."""
    value = body.get(name)
    if value is not None and (type(value) is not int or value < 1):
        raise _wrong(name, _("“%s” has to be a whole number above 0.") % name)
    if value is not None and value > NUMBER_AT_MOST:
        raise _wrong(name, _("“%(name)s” may be at most %(most)d.") % {"name": name, "most": NUMBER_AT_MOST})


def _check_tools(tools: Any) -> None:
    if not isinstance(tools, list):
        raise _wrong("tools", _("“tools” has to be a list."))
    for index, tool in enumerate(tools):
        # A vendor's built-in tools (search, code) cost extra, by rules that we do not know.
        kind = tool.get("type") if isinstance(tool, dict) else None
        if type(kind) is not str or kind not in _TOOL_TYPES:
            raise _wrong(f"tools[{index}].type", _("Only tools of type function or custom are supported."))


def check_guarded(body: dict[str, Any], stages: Iterable[Stage]) -> None:
    """Refuse fields that change which model answers or what it costs; take out those that mean the default."""
    for guarded in _guarded_by(stages):
        for name in body.keys() & guarded.keys():
            value = body[name]
            if value is not None and value not in guarded[name].harmless:
                raise _wrong(name, _("“%s” is not supported: it would change which model answers or its price.") % name)
            del body[name]


def _guarded_by(stages: Iterable[Stage]) -> Iterable[Mapping[str, Any]]:
    adapters: dict[int, Any] = {}
    for stage in stages:
        if stage.pool.is_large:
            return {id(adapter.guarded): adapter.guarded for adapter in ADAPTERS.values()}.values()
        for candidate in stage.pool:
            guarded = candidate.channel.adapter.guarded
            adapters[id(guarded)] = guarded
    return adapters.values()


def _wrong(param: str, message: str) -> RouterError:
    return RouterError(400, "invalid_request", message, param=param)
