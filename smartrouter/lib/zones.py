"""Worker side. The names of the time zones."""

import zoneinfo
from functools import cache


@cache
def zone_names() -> frozenset[str]:
    """All IANA names that this machine knows; looked up once, for it takes a walk through some hundred files."""
    return frozenset(zoneinfo.available_timezones())
