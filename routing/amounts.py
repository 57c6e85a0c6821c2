"""Hot path. Money and moments as the JSON of /v1 has them."""

import orjson

from smartrouter.lib.clock import at_ms
from smartrouter.lib.money import plain_number, usd_of


def usd_number(amount_nusd: int | None) -> orjson.Fragment | None:
    """The exact amount in USD as a JSON number without exponent; None for an unknown one."""
    return None if amount_nusd is None else orjson.Fragment(plain_number(usd_of(amount_nusd)).encode())


def moment(ms: int | None) -> str | None:
    """Milliseconds since the epoch as ISO 8601 in UTC, in whole seconds; None for never."""
    return None if ms is None else at_ms(ms).isoformat(timespec="seconds").replace("+00:00", "Z")
