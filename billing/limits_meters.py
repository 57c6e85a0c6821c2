"""Hot path. What this process knows of each subject, for as long as somebody asks for it."""

from collections.abc import Sequence
from itertools import islice

from billing.limits import Subject
from billing.limits_admission import Keeper, RateAdmission
from billing.limits_parallel import Places
from billing.rates import LARGEST_USE, Window

KEPT_S = 120.0
SWEPT_AT_ONCE = 2000


class Meter:
    """The rates and places of one subject, each once it was limited."""

    __slots__ = ("places", "requests", "tokens", "used_at")

    def __init__(self) -> None:
        self.requests: Window | None = None
        self.tokens: Window | None = None
        self.places: Places | None = None
        self.used_at = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether somebody still works with it."""
        if self.places is not None and (self.places.is_active or self.places.under_way):
            return True
        return any(window is not None and window.is_active for window in (self.requests, self.tokens))


class Meters:
    """All that are known, by the subject's key, the one that was used last at the end."""

    def __init__(self) -> None:
        self._by_key: dict[str, Meter] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def admission(self, keeper: Keeper, subjects: Sequence[Subject], tokens: int, now: float) -> RateAdmission:
        """A request that is not admitted yet, in front of the limits as they are now."""
        tokens = min(max(tokens, 0), LARGEST_USE)
        admission = RateAdmission(keeper, tokens)
        by_key = self._by_key
        for subject in subjects:
            meter = by_key.pop(subject.key, None) or Meter()
            by_key[subject.key] = meter
            meter.used_at = now
            if (limit := subject.rpm) is not None:
                window = meter.requests
                if window is None or window.limit != limit:
                    window = meter.requests = _limited(window, subject, "requests", "rpm", limit)
                admission.windows.append(window)
                admission.uses.append(1)
            if (limit := subject.tpm) is not None:
                window = meter.tokens
                if window is None or window.limit != limit:
                    window = meter.tokens = _limited(window, subject, "tokens", "tpm", limit)
                admission.windows.append(window)
                admission.uses.append(tokens)
            if (limit := subject.max_parallel) is not None:
                places = meter.places
                if places is None:
                    places = meter.places = Places(subject, limit)
                elif places.limit != limit:
                    places.set_limit(subject, limit)
                admission.places.append(places)
        return admission

    def sweep(self, now: float) -> None:
        """Forget subjects that nobody has asked for in KEPT_S; a part of them, where they are many."""
        old = []
        for key, meter in islice(self._by_key.items(), SWEPT_AT_ONCE):
            if meter.used_at + KEPT_S > now:
                break
            old.append(key)
        for key in old:
            meter = self._by_key.pop(key)
            if meter.is_busy:
                meter.used_at = now
                self._by_key[key] = meter


def _limited(window: Window | None, subject: Subject, which: str, suffix: str, limit: int) -> Window:
    """The window with this limit from now on, or a new one where there was none."""
    if window is None:
        return Window(subject, which, suffix, limit)
    window.set_limit(subject, limit)
    return window
