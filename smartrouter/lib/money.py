"""Hot path. Money as integers of nano-USD (10^-9 USD); Decimal only for prices and display."""

from decimal import ROUND_CEILING, Decimal

NUSD_PER_USD = 1_000_000_000


def nusd_of(amount_usd: Decimal) -> int:
    """The nano-USD of an exact amount, rounded up once: a fraction of a nano-USD is never given away."""
    return int((amount_usd * NUSD_PER_USD).to_integral_value(rounding=ROUND_CEILING))


def usd_of(amount_nusd: int) -> Decimal:
    """The exact USD of an amount in nano-USD."""
    return Decimal(amount_nusd) / NUSD_PER_USD


def plain_number(value: Decimal) -> str:
    """The exact number without exponent and without trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def show_number(value: Decimal | int | str | None) -> str:
    """The exact number as people read it; "-" for none. A row that was not read back may hold what was typed."""
    return "-" if value is None else plain_number(Decimal(value))


def show_usd(amount_nusd: int | None) -> str:
    """The amount as people read it: "$0.0000135", at least two decimals, no exponent; "-" for an unknown one."""
    if amount_nusd is None:
        return "-"
    whole, fraction = divmod(abs(amount_nusd), NUSD_PER_USD)
    decimals = f"{fraction:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if amount_nusd < 0 else ''}${whole:,}.{decimals}"
