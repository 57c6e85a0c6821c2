"""Hot path. What a request needs of whoever serves it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ask:
    """needs: bits of providers.capabilities. prompt_tokens: our estimate; output_tokens: the request's limit, None for none.

    at_ms: when it was admitted. provider: the one that the caller asked for by name, empty for none. answers: how many are
    asked for at once; output_tokens is about all of them.
    """

    needs: int
    prompt_tokens: int
    output_tokens: int | None
    is_streamed: bool
    at_ms: int
    provider: str = ""
    answers: int = 1

    @property
    def context_tokens(self) -> int:
        """What has to fit into a context: the prompt and one answer."""
        return self.prompt_tokens + (self.output_tokens or 0) // self.answers
