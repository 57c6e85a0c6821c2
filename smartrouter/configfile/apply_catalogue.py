"""Worker side. The blocks providers, models and exchange_rates."""

from collections.abc import Sequence

from django.utils.translation import gettext as _

from providers.models import ExchangeRate, Provider, ProviderModel
from smartrouter.configfile.apply_prices import apply_prices, shown_moment
from smartrouter.configfile.parsing import Entry
from smartrouter.configfile.places import Place
from smartrouter.configfile.rows import Run, save_row, take_renamed, tried
from smartrouter.configfile.schema import ExchangeRateSpec, ModelSpec, ProviderSpec


def apply_providers(run: Run, entries: Sequence[Entry[ProviderSpec]]) -> None:
    """Write the providers; run.providers knows them afterwards."""
    run.providers = {row.name: row for row in Provider.objects.all()}
    for entry in entries:
        spec, place = entry.spec, entry.place
        with run.entry("providers", spec.name):
            row = take_renamed(run.providers, spec.name, spec.was, place) or Provider()
            values = {
                "name": spec.name,
                "display_name": spec.display_name,
                "kind": spec.kind,
                "adapter": spec.adapter,
                "base_url": spec.base_url,
                "region": spec.region,
                "is_active": spec.active,
            }
            run.providers[spec.name] = save_row(run, row, values, place, label=spec.name)


def apply_models(run: Run, entries: Sequence[Entry[ModelSpec]]) -> None:
    """Write the provider models and their prices; run.models knows them afterwards."""
    run.models = {(row.provider.name, row.name): row for row in ProviderModel.objects.select_related("provider")}
    for entry in entries:
        spec, place = entry.spec, entry.place
        with run.entry("models", f"{spec.provider}/{spec.model}"):
            name = (spec.provider, spec.model)
            old = (spec.provider, spec.was) if spec.was else None
            row = take_renamed(run.models, name, old, place) or ProviderModel()
            values = {
                "provider": tried(run.find, "providers", run.providers, spec.provider, place.at("provider")),
                "name": spec.model,
                "display_name": spec.display_name,
                "context_length": spec.context_length,
                "default_output_tokens": spec.default_output_tokens,
                "capabilities": spec.capabilities,
                "tags": spec.tags,
                "quality_score": spec.quality_score,
                "is_free": spec.free,
                "is_active": spec.active,
            }
            save_row(run, row, values, place, label="/".join(name), spelled={"name": "model"})
            run.models[name] = row
            apply_prices(run, row, spec, place)


def model_named(run: Run, provider: Provider, name: str, place: Place) -> ProviderModel:
    """The provider's model of that name; a new one where the catalogue does not have it yet. Raises ConfigError."""
    found = run.models.get((provider.name, name))
    if found is not None:
        return found
    row = ProviderModel(provider=provider)
    save_row(run, row, {"name": name}, place, label=f"{provider.name}/{name}", spelled={"name": "model"})
    run.models[provider.name, name] = row
    return row


def apply_exchange_rates(run: Run, entries: Sequence[Entry[ExchangeRateSpec]]) -> None:
    """Write the exchange rates; one without a date counts from now on, unless it equals the one in force."""
    history = list(ExchangeRate.objects.all()) if entries else []
    for entry in entries:
        spec, place = entry.spec, entry.place
        with run.entry("exchange_rates", spec.currency):
            past = [row for row in history if row.currency == spec.currency]
            begun = [old for old in past if spec.effective_from is None and old.effective_from <= run.now]
            in_force = max(begun, key=lambda old: old.effective_from, default=None)
            if in_force is not None and in_force.usd == spec.usd:
                continue
            moment = spec.effective_from.at if spec.effective_from else run.now
            found = [old for old in past if old.effective_from == moment]
            row = found[0] if found else ExchangeRate(effective_from=moment)
            since = shown_moment(row.effective_from, spec.effective_from)
            label = _("%(name)s from %(moment)s") % {"name": spec.currency, "moment": since}
            values = {"currency": spec.currency, "usd": spec.usd}
            save_row(run, row, values, place, label=label, follows=in_force)
