"""Hot path. What a model's name says about it: its tags, its size, its context length, how good it may be.

Names are what people and vendors make of them: everything here is a first guess, which discovery's or the operator's own
knowledge replaces. Nothing is guessed from a name that says nothing.
"""

import re
from functools import lru_cache
from math import log10

SEPARATORS = re.compile(r"[:/@\-_,\s]+")
# Sizes: 7b, 1.5b, 0.6b, 270m, 1t, e4b (an effective size) and mixtures such as 8x22b; not a3b, which says how much is active.
_SIZE = re.compile(r"e?(?:(\d{1,3})x)?(\d{1,4}(?:\.\d{1,3})?)([mbt])")
_SCALE = {"m": 10**6, "b": 10**9, "t": 10**12}
_CONTEXT = re.compile(r"(\d{1,4})(k|m)")
# 1m and 2m are contexts, 135m and 270m are sizes; the smallest models and the largest contexts lie far apart.
LARGEST_CONTEXT_M = 16
CONTEXT_FROM, CONTEXT_TO = 2_000, 16_000_000
# Some names have the plain number: llama3-70b-8192, mixtral-8x7b-32768.
_POWERS_OF_TWO = {str(1 << bits): 1 << bits for bits in range(11, 22)}
# Where a name has no size: an ordinary model, and by how much these words move it.
ORDINARY = 0.6
_WORDS = {
    "nano": -0.3,
    "tiny": -0.3,
    "lite": -0.2,
    "mini": -0.15,
    "small": -0.15,
    "haiku": -0.1,
    "flash": -0.1,
    "fast": -0.1,
    "turbo": -0.05,
    "instant": -0.2,
    "medium": 0.05,
    "plus": 0.1,
    "large": 0.1,
    "pro": 0.15,
    "max": 0.15,
    "opus": 0.2,
    "ultra": 0.2,
}
# tag:qwen,free asks for whatever has both tags.
TAG_PREFIX = "tag:"
# Whether something is free is a matter of its price, not of its name.
FREE_TAG = "free"
# Families of models that are made in China, which their names do not say: qwen3, glm, kimi, yi ...
CHINESE_TAG = "chinese"
_CHINESE = re.compile(
    r"(?:qwen|qwq|qvq|tongyi|deepseek|chatglm|codegeex|glm|zhipu|kimi|moonshot|doubao|seed|ernie|hunyuan|baichuan|internlm"
    r"|minimax|abab|step|yi|telechat|pangu|sensechat|longcat)(?:v?\d.*)?"
)


def canonical_name(name: str) -> str:
    """A tag query in the one spelling that counts: lower case, each tag once, in order; any other name as it is."""
    if not name.startswith(TAG_PREFIX):
        return name
    tags = {tag.strip().lower() for tag in name[len(TAG_PREFIX) :].split(",")}
    return TAG_PREFIX + ",".join(sorted(tags))


@lru_cache(maxsize=65_536)
def tags_of(name: str) -> frozenset[str]:
    """The tags of a name, in lower case: its parts between `:` `/` `@` `-` `_` `,` and spaces."""
    return frozenset(part for part in SEPARATORS.split(name.lower()) if part)


@lru_cache(maxsize=65_536)  # one set for all channels that offer the same model under the same names
def tags_of_all(names: tuple[str, ...], own: tuple[str, ...]) -> frozenset[str]:
    """The tags of an offering: of all its names, of the family that they tell, and the operator's own; without `free`."""
    tags = frozenset().union(*map(tags_of, names), (tag.strip().lower() for tag in own)) - {FREE_TAG}
    return tags | {CHINESE_TAG} if any(_CHINESE.fullmatch(tag) for tag in tags) else tags


@lru_cache(maxsize=16_384)
def parameters_of(name: str) -> int | None:
    """How many parameters the name claims; None where it does not say. Of several sizes the largest."""
    sizes = []
    for tag in tags_of(name):
        found = _SIZE.fullmatch(tag)
        if found is None:
            continue
        experts, number, unit = found.groups()
        if unit == "m" and float(number) <= LARGEST_CONTEXT_M:
            continue  # a context length
        sizes.append(round(float(number) * int(experts or 1) * _SCALE[unit]))
    return max(sizes, default=None) or None  # 0b says nothing


@lru_cache(maxsize=16_384)
def context_of(name: str) -> int | None:
    """The context length that the name claims, in tokens (128k is 128,000: no more than is meant); None: it does not say."""
    lengths = []
    for tag in tags_of(name):
        if tag in _POWERS_OF_TWO:
            lengths.append(_POWERS_OF_TWO[tag])
        found = _CONTEXT.fullmatch(tag)
        if found is None:
            continue
        length = int(found[1]) * (1_000 if found[2] == "k" else 1_000_000)
        if CONTEXT_FROM <= length <= CONTEXT_TO:
            lengths.append(length)
    return max(lengths, default=None)


@lru_cache(maxsize=16_384)
def quality_of(name: str) -> float:
    """A first score from 0 to 1.

    With a size of n billion parameters 0.2 + 0.2 x log10(n): 1b 0.20, 8b 0.38, 70b 0.57, 670b 0.77. Without one 0.6, moved by
    words such as mini, flash, large and pro.
    """
    size = parameters_of(name)
    if size is not None:
        return round(min(1.0, max(0.05, 0.2 + 0.2 * log10(size / 10**9))), 2)
    moved = ORDINARY + sum(_WORDS.get(tag, 0.0) for tag in tags_of(name))
    return round(min(1.0, max(0.05, moved)), 2)
