"""Hot path. What a request is tried on next, after each attempt that failed.

After KEY, KEY_MODEL and RATE another key of the same channel is tried once, after anything else the next candidate. The first
move to another channel, or to another key of the only one, is free; any other second key, a third attempt and a repetition
come out of the retry budget.
"""

from random import Random

from channels.records import Candidate, KeyRecord
from routing.choosing import Choices
from smartrouter.lib.errors import ErrorClass, UpstreamError

ATTEMPTS_AT_MOST = 3
FINAL = frozenset((ErrorClass.REQUEST, ErrorClass.CONTENT))
ABOUT_THE_KEY = frozenset((ErrorClass.KEY, ErrorClass.KEY_MODEL, ErrorClass.RATE))


class Plan:
    """What to try next. Keys of a channel are taken from a random start, so that they share the load."""

    def __init__(self, choices: Choices, random: Random) -> None:
        self._choices = choices
        self._random = random
        self._keys: list[KeyRecord] = []
        self._key: KeyRecord | None = None
        self._current: Candidate | None = None
        self._has_stayed = False
        self._tried: frozenset[int] = frozenset()
        self.moves = 0

    def first(self) -> tuple[Candidate, KeyRecord | None]:
        self._move(ATTEMPTS_AT_MOST)
        assert self._current is not None  # without a candidate there is no call
        return self._current, self._key

    def after(
        self, error: UpstreamError, *, can_retry: bool, attempts_left: int
    ) -> tuple[Candidate, KeyRecord | None, bool] | None:
        """The next candidate and key, and whether this is a retry (it costs budget); None where nothing is left to try."""
        assert self._current is not None
        if error.kind in FINAL:
            return None
        if error.kind is ErrorClass.CONTEXT:
            known = self._current.context_length or 0
            self._choices.keep_contexts_above(max(known, self._choices.ask.prompt_tokens))
        has_more = self._choices.look_ahead(1) > 0
        can_stay = can_retry and not self._has_stayed
        # A channel that is the only one has its other account as others have their second channel: the first move is free.
        is_free = self.moves == 1 and not has_more and not self._has_stayed
        if (can_stay or is_free) and error.kind in ABOUT_THE_KEY and self._keys:
            self._has_stayed = True
            self._key = self._keys.pop()
            return self._current, self._key, not is_free
        # Only the first move to a different channel is free.
        if has_more and (can_retry or self.moves < 2) and self._move(attempts_left, only_another=not can_retry):
            return self._current, self._key, self.moves > 2 or self._current.channel.ref in self._tried
        if can_stay and error.is_unanswered:
            self._has_stayed = True
            return self._current, self._key, True
        return None

    def instead(self, attempts_left: int) -> tuple[Candidate, KeyRecord | None] | None:
        """Another candidate in the place of one that nobody can pay for; None: there is none."""
        self.moves -= 1  # nothing was tried
        if not self._move(attempts_left):
            return None
        assert self._current is not None
        return self._current, self._key

    def left(self, at_most: int) -> int:
        """How many candidates have not been tried; counted no further than at_most."""
        return self._choices.look_ahead(at_most)

    def _move(self, attempts_left: int, *, only_another: bool = False) -> bool:
        """Whether there was another candidate, with only_another: on a channel that was not tried."""
        tried = self._tried if self._current is None else self._tried | {self._current.channel.ref}
        candidate = self._choices.take(attempts_left, tried if only_another else frozenset())
        if candidate is None:
            return False
        self._current, self._tried = candidate, tried
        self.moves += 1
        keys = candidate.channel.keys
        begin = self._random.randrange(len(keys)) if len(keys) > 1 else 0
        self._keys = [*keys[begin:], *keys[:begin]]
        self._keys.reverse()
        self._key = self._keys.pop() if self._keys else None
        return True
