"""Hot path. The adapters by name: one line for each."""

from collections.abc import Mapping

from providers.adapters.base import Adapter
from providers.adapters.openai import OPENAI
from providers.adapters.openrouter import OPENROUTER

ADAPTERS: Mapping[str, Adapter] = {adapter.name: adapter for adapter in (OPENAI, OPENROUTER)}
