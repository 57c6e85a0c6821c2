"""Worker side. Values that are valid against a JSON schema: tool arguments and structured answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

WORDS = ("amber", "basil", "cedar", "delta", "ember", "fjord", "grove", "heron", "iris", "juniper", "kelp", "lotus")
FORMATS = {
    "date": "2026-11-21",
    "time": "10:15:00Z",
    "date-time": "2026-11-21T10:15:00Z",
    "duration": "PT15M",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.7",
    "ipv6": "2001:db8::7",
    "uri": "https://example.com/",
    "uuid": "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b",
}
# Below this depth optional properties are left out and a null is preferred, so that recursive schemas end.
SOFT_DEPTH = 5
HARD_DEPTH = 40
MAX_VALUES = 5_000
TYPE_HINTS = {
    "properties": "object",
    "items": "array",
    "prefixItems": "array",
    "minLength": "string",
    "maxLength": "string",
    "format": "string",
    "minimum": "number",
    "maximum": "number",
}


class UnusableSchema(ValueError):
    """The schema asks for something that no value, or only an endless one, can fulfil; the text says what."""


@dataclass(slots=True)
class Sampler:
    """Draws values from a schema, deterministically from its random source. `prefix` marks free strings."""

    root: Mapping[str, Any]
    random: Random
    prefix: str = ""
    _drawn: int = field(default=0)

    def draw(self) -> Any:
        """A value that is valid against the root schema. Raises UnusableSchema."""
        try:
            return self._value(self.root, 0)
        except UnusableSchema:
            raise
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, ZeroDivisionError, OverflowError) as error:
            raise UnusableSchema("the schema is malformed") from error

    def _value(self, schema: Any, depth: int) -> Any:
        self._drawn += 1
        if depth > HARD_DEPTH or self._drawn > MAX_VALUES:
            raise UnusableSchema("the schema is too deep or too large")
        if schema is True or schema == {}:
            return f"{self.prefix}{self.random.choice(WORDS)}"
        if not isinstance(schema, Mapping):
            raise UnusableSchema("a schema must be an object")
        if "$ref" in schema:
            return self._value(self._resolve(schema["$ref"]), depth + 1)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self.random.choice(list(schema["enum"]))
        for union in ("anyOf", "oneOf"):
            if schema.get(union):
                return self._value(self._branch(schema[union], depth), depth + 1)
        if schema.get("allOf"):
            return self._value(self._merged(schema), depth + 1)
        return self._typed(schema, depth)

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = "null" if "null" in kind and depth >= SOFT_DEPTH else next((k for k in kind if k != "null"), "null")
        if kind is None:
            kind = next((hint for keyword, hint in TYPE_HINTS.items() if keyword in schema), "string")
        if schema.get("nullable") is True and depth >= SOFT_DEPTH:
            return None
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._string(schema)
            case "integer" | "number":
                return self._number(schema, is_whole=kind == "integer")
            case "boolean":
                return self.random.random() < 0.5
            case "null":
                return None
        raise UnusableSchema(f"there is no type {kind!r}")

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        wanted = [name for name in properties if name in required or depth < SOFT_DEPTH]
        made = {name: self._value(properties[name], depth + 1) for name in wanted}
        rest = schema.get("additionalProperties")
        for name in required:
            if name not in made:
                made[name] = self._value(rest if isinstance(rest, Mapping) else True, depth + 1)
        return made

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        least = int(schema.get("minItems") or 0)
        most = schema.get("maxItems")
        count = least if depth >= SOFT_DEPTH else max(least, 2)
        count = count if most is None else max(least, min(count, int(most)))
        if count > MAX_VALUES:
            raise UnusableSchema("minItems is too large")
        fixed = schema.get("prefixItems") or []
        schemas = [*fixed[:count], *[schema.get("items", True)] * max(0, count - len(fixed))]
        made: list[Any] = []
        for item in schemas:
            value = self._value(item, depth + 1)
            for _ in range(50 if schema.get("uniqueItems") else 0):
                if value not in made:
                    break
                value = self._value(item, depth + 1)
            made.append(value)
        return made

    def _string(self, schema: Mapping[str, Any]) -> str:
        if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        text = f"{self.prefix}{self.random.choice(WORDS)}"
        least = int(schema.get("minLength") or 0)
        if least > MAX_VALUES:
            raise UnusableSchema("minLength is too large")
        while len(text) < least:
            text += f" {self.random.choice(WORDS)}"
        most = schema.get("maxLength")
        return text if most is None else text[: int(most)]

    def _number(self, schema: Mapping[str, Any], *, is_whole: bool) -> int | float:
        step = schema.get("multipleOf") or (1 if is_whole else 0.5)
        low, high = schema.get("minimum"), schema.get("maximum")
        above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        first = math.ceil(low / step) if low is not None else None
        if isinstance(above, int | float) and not isinstance(above, bool):
            first = max(math.floor(above / step) + 1, first if first is not None else -math.inf)
        last = math.floor(high / step) if high is not None else None
        if isinstance(below, int | float) and not isinstance(below, bool):
            last = min(math.ceil(below / step) - 1, last if last is not None else math.inf)
        if first is None:
            first = 1 if last is None else min(1, last)
        if last is None:
            last = first + 40
        if first > last:
            if is_whole or low is None or high is None:
                raise UnusableSchema("no number fits between minimum and maximum")
            return float(low + high) / 2  # a narrow range of real numbers that our step does not hit
        value = self.random.randint(int(first), int(last)) * step
        return int(value) if is_whole else float(value)

    def _branch(self, branches: list[Any], depth: int) -> Any:
        """The first branch that is not null; in the depth the null, if there is one."""
        nulls = [b for b in branches if isinstance(b, Mapping) and b.get("type") == "null"]
        if nulls and depth >= SOFT_DEPTH:
            return nulls[0]
        others = [b for b in branches if b not in nulls]
        simple = [b for b in others if isinstance(b, Mapping) and "$ref" not in b]
        return (simple or others or nulls)[0] if depth >= SOFT_DEPTH else (others or nulls)[0]

    def _merged(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            source = self._resolve(part["$ref"]) if isinstance(part, Mapping) and "$ref" in part else part
            if not isinstance(source, Mapping):
                continue
            for key, value in source.items():
                if key == "properties":
                    merged["properties"] = {**merged.get("properties", {}), **value}
                elif key == "required":
                    merged["required"] = [*merged.get("required", []), *value]
                else:
                    merged.setdefault(key, value)
        return merged

    def _resolve(self, pointer: Any) -> Any:
        if not isinstance(pointer, str) or not pointer.startswith("#"):
            raise UnusableSchema(f"only references within the schema are followed, not {pointer!r}")
        target: Any = self.root
        for part in filter(None, pointer[1:].split("/")):
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, Mapping) or key not in target:
                raise UnusableSchema(f"the reference {pointer!r} leads nowhere")
            target = target[key]
        return target
