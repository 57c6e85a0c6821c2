"""Worker side. Dated prices of provider models and of offerings."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from channels.models import Offering, OfferingPrice
from providers.models import DatedRates, ModelPrice, ProviderModel
from providers.prices import SORTS, check_tiers, check_windows
from smartrouter.configfile.moments import Moment
from smartrouter.configfile.parsing import refuse_doubled
from smartrouter.configfile.places import Place
from smartrouter.configfile.report import ConfigError
from smartrouter.configfile.rows import Refused, Run, save_row
from smartrouter.configfile.schema import ModelSpec, OfferingSpec, PriceSpec


def apply_prices(run: Run, owner: ProviderModel | Offering, spec: ModelSpec | OfferingSpec, place: Place) -> None:
    """Bring the owner's prices to what the entry says.

    A price without a date that equals the one in force changes nothing; another one counts from now on. A dated price
    is written at its date. Prices that the entry does not have stay: they are the history. Raises ConfigError.
    """
    if spec.price is not None and spec.prices is not None:
        raise ConfigError([place.at("price").says(_("Give either price or prices."))])
    given = [(price, place.at("prices", index)) for index, price in enumerate(spec.prices or [])]
    if undated := [where.at("effective_from") for price, where in given if price.effective_from is None]:
        raise ConfigError([where.says(_("“%s” is missing.") % "effective_from") for where in undated])
    if spec.price is not None:
        given = [(spec.price, place.at("price"))]
    refuse_doubled([(str(price.effective_from), where) for price, where in given])
    if not given:
        return
    history: list[DatedRates] = [] if owner._state.adding else list(owner.prices.all())
    for price, where in given:
        with run.entry():
            _apply_price(run, owner, history, price, where)


def _apply_price(
    run: Run, owner: ProviderModel | Offering, history: Sequence[DatedRates], spec: PriceSpec, place: Place
) -> None:
    follows = None
    if spec.effective_from is None:
        row = _in_force(history, run.now)
        if row is not None and not _is_same_price(row, spec):
            follows, row = row, None  # a price in force is history: a new one takes over
    else:
        row = next((old for old in history if old.effective_from == spec.effective_from.at), None)
    if row is None:
        moment = spec.effective_from.at if spec.effective_from else run.now
        row = (
            ModelPrice(provider_model=owner, effective_from=moment)
            if isinstance(owner, ProviderModel)
            else OfferingPrice(offering=owner, effective_from=moment)
        )
    values: dict[str, Any] = {}
    if row._state.adding or not _is_same_price(row, spec):
        values = {name: getattr(spec, name) for name in ("currency", *SORTS)}
        values["tiers"] = _checked(spec.tiers, check_tiers, place.at("tiers"))
        values["windows"] = _checked(spec.windows, check_windows, place.at("windows"))
    if spec.source or spec.effective_from:
        values["source"] = spec.source
    above = owner.provider if isinstance(owner, ProviderModel) else owner.channel
    since = shown_moment(row.effective_from, spec.effective_from)
    label = _("%(name)s from %(moment)s") % {"name": f"{above.name}/{owner.name}", "moment": since}
    save_row(run, row, values, place, label=label, follows=follows)


def shown_moment(at: datetime, given: Moment | None) -> str:
    """A date, or the words for the moment of this apply, which a preview cannot know."""
    return _("now") if given is None else f"{at:%Y-%m-%d %H:%M}"


def _checked(
    entries: Sequence[Mapping[str, Any]], check: Callable[[Any], Any], place: Place
) -> list[dict[str, Any]] | Refused:
    """The tiers or windows as the column keeps them; each wrong one is named, not only their list."""
    values = _with_text_prices(entries)
    problems = []
    for index, value in enumerate(values):
        try:
            check([value])
        except ValueError as e:
            problems.append(place.at(index).says(e))
    return Refused(tuple(problems)) if problems else values


def _in_force(history: Sequence[DatedRates], now: datetime) -> DatedRates | None:
    begun = [row for row in history if row.effective_from <= now]
    return max(begun, key=lambda row: row.effective_from, default=None)


def _is_same_price(row: DatedRates, spec: PriceSpec) -> bool:
    if any(getattr(row, name) != getattr(spec, name) for name in ("currency", *SORTS)):
        return False
    try:
        return check_tiers(row.tiers) == check_tiers(_with_text_prices(spec.tiers)) and check_windows(
            row.windows
        ) == check_windows(_with_text_prices(spec.windows))
    except ValueError:
        return False  # the field's validator says what is wrong


def _with_text_prices(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tiers or windows as the column keeps them: exact prices as text, since JSON's numbers are not exact."""
    return [
        {
            name: format(Decimal(value), "f")
            if name in SORTS and isinstance(value, int | Decimal) and not isinstance(value, bool)
            else value
            for name, value in entry.items()
        }
        for entry in entries
    ]
