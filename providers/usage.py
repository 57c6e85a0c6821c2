"""Hot path. What one answer used, in the terms of every dialect."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer.

    prompt_tokens includes cached_tokens, cache_write_tokens (both lifetimes), audio and image input; completion_tokens
    includes reasoning_tokens and audio output. reported_cost_usd is what the upstream says it takes, None where it is silent.
    """

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
    reported_cost_usd: Decimal | None = None

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing but prompt and completion: most requests."""
        return not (
            self.cached_tokens
            or self.cache_write_tokens
            or self.reasoning_tokens
            or self.audio_input_tokens
            or self.audio_output_tokens
            or self.image_tokens
        )
