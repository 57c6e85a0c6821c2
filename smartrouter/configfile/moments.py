"""Worker side. Points in time, as the document writes them."""

from datetime import UTC, date, datetime
from typing import Any

from django.utils.translation import gettext as _


class Moment:
    """A point in time: ISO 8601 text, UTC where it names no zone, midnight where it is only a date."""

    __slots__ = ("at",)

    def __init__(self, at: datetime) -> None:
        self.at = at

    @classmethod
    def parse(cls, value: Any) -> "Moment":
        """The moment that text, a date or a datetime means. Raises ValueError with a sentence."""
        try:
            if isinstance(value, str):
                value = datetime.fromisoformat(value)
            elif isinstance(value, date) and not isinstance(value, datetime):
                value = datetime(value.year, value.month, value.day)
            if isinstance(value, datetime):
                return cls((value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC))
        except (ValueError, OverflowError):
            pass  # answered below, as for any other type
        raise ValueError(_("Write a date or time such as 2026-01-31 or 2026-01-31T08:00:00Z."))

    def __str__(self) -> str:
        return self.at.astimezone(UTC).isoformat().replace("+00:00", "Z")
