"""Hot path. What models can do beyond text, as names and as bits."""

from collections.abc import Iterable

FUNCTION_CALLING, VISION, CODE_GENERATION = "function_calling", "vision", "code_generation"
JSON_SCHEMA, REASONING, AUDIO = "json_schema", "reasoning", "audio"
CAPABILITIES = (FUNCTION_CALLING, VISION, CODE_GENERATION, JSON_SCHEMA, REASONING, AUDIO)
BITS = {name: 1 << place for place, name in enumerate(CAPABILITIES)}


def bits_of(names: Iterable[str]) -> int:
    """The capabilities as bits; names that are none are left out."""
    bits = 0
    for name in names:
        bits |= BITS.get(name, 0)
    return bits


def names_of(bits: int) -> tuple[str, ...]:
    """The capabilities that bits stand for."""
    return tuple(name for name, bit in BITS.items() if bits & bit)
