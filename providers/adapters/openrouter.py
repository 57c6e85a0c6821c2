"""Hot path. OpenRouter: the OpenAI dialect, and `usage.cost` in USD is what it takes from our account."""

from dataclasses import replace

from providers.adapters.openai import OPENAI

OPENROUTER = replace(OPENAI, name="openrouter", label="OpenRouter", is_cost_reported=True)
