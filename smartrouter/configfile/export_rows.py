"""Worker side. The rows of each block as the document has them. Sorted here, since databases sort text differently."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Prefetch
from django.utils.translation import gettext as _

from channels.models import Channel, ChannelKey, Offering
from providers.models import DatedRates, ExchangeRate, Provider, ProviderModel
from providers.prices import SORTS
from smartrouter.accounts.models import RouterKey, Tenant
from smartrouter.configfile.apply_channels import default_key_name
from smartrouter.configfile.export_budgets import BudgetLists, budget_lists, end_user_entries
from smartrouter.configfile.export_fields import Fields, without_defaults
from smartrouter.configfile.moments import Moment
from smartrouter.configfile.places import Place
from smartrouter.configfile.report import ConfigError
from smartrouter.configfile.schema import (
    ChannelSpec,
    ModelSpec,
    OfferingSpec,
    PriceSpec,
    ProviderSpec,
    RouterKeySpec,
    TenantSpec,
    TimeoutsSpec,
)
from smartrouter.configfile.secrets import seal_for_document
from smartrouter.lib.sealing import SealBroken


def provider_entries() -> Iterator[Fields]:
    for row in sorted(Provider.objects.all(), key=lambda row: row.name):
        yield without_defaults(
            ProviderSpec,
            name=row.name,
            display_name=row.display_name,
            kind=row.kind,
            adapter=row.adapter,
            base_url=row.base_url,
            region=row.region,
            active=row.is_active,
        )


def model_entries() -> Iterator[Fields]:
    rows = ProviderModel.objects.select_related("provider").prefetch_related("prices")
    for row in sorted(rows, key=lambda row: (row.provider.name, row.name)):
        yield without_defaults(
            ModelSpec,
            provider=row.provider.name,
            model=row.name,
            display_name=row.display_name,
            context_length=row.context_length,
            default_output_tokens=row.default_output_tokens,
            capabilities=row.capabilities,
            tags=row.tags,
            quality_score=plain_float(row.quality_score),
            free=row.is_free,
            active=row.is_active,
            prices=_prices(row.prices.all()),
        )


def exchange_rate_entries() -> Iterator[Fields]:
    for row in sorted(ExchangeRate.objects.all(), key=lambda row: (row.currency, row.effective_from)):
        yield {"currency": row.currency, "usd": row.usd, "effective_from": _moment(row.effective_from)}


def tenant_entries() -> Iterator[Fields]:
    budgets = budget_lists()
    rows = Tenant.objects.select_related("parent").prefetch_related(
        Prefetch("router_keys", RouterKey.objects.select_related("owner")), "memberships__user"
    )
    for row in sorted(rows, key=lambda row: row.name):
        yield without_defaults(
            TenantSpec,
            name=row.name,
            display_name=row.display_name,
            kind=row.kind,
            parent=row.parent.name if row.parent else None,
            timezone=row.timezone,
            active=row.is_active,
            can_see_channels=row.can_see_channels,
            can_see_budgets=row.can_see_budgets,
            can_shorten_answers=row.can_shorten_answers,
            budget_status=row.budget_status,
            rpm=row.rpm,
            tpm=row.tpm,
            max_parallel=row.max_parallel,
            end_user_rpm=row.end_user_rpm,
            end_user_tpm=row.end_user_tpm,
            budgets=budgets.get(("tenant", row.pk, "")),
            end_users=end_user_entries(budgets, row.pk) or None,
            router_keys=[_router_key(key, budgets) for key in sorted(row.router_keys.all(), key=lambda key: key.name)]
            or None,
            users=_users(row, budgets) or None,
        )


def _router_key(row: RouterKey, budgets: BudgetLists) -> Fields:
    return without_defaults(
        RouterKeySpec,
        name=row.name,
        key=f"env:{row.env_name}" if row.env_name else f"digest:{row.digest}",
        hint=None if row.env_name else row.hint or None,
        previous=_previous(row),
        models=row.allowed_models,
        denied_models=row.denied_models,
        default_model=row.default_model,
        can_choose_strategy=row.can_choose_strategy,
        networks=row.networks,
        rpm=row.rpm,
        tpm=row.tpm,
        max_parallel=row.max_parallel,
        budgets=budgets.get(("router_key", row.pk, "")),
        owner=row.owner.username if row.owner else None,
        labels=_sorted_json(row.labels),
        expires_at=_moment(row.expires_at) if row.expires_at else None,
        active=row.is_active,
    )


def _previous(row: RouterKey) -> Fields | None:
    """The key before, also one that is no longer accepted; None for none."""
    if row.previous_digest is None or row.previous_until is None:
        return None
    return {"key": f"digest:{row.previous_digest}", "until": _moment(row.previous_until)}


def _users(tenant: Tenant, budgets: BudgetLists) -> list[Fields]:
    found = []
    for membership in sorted(tenant.memberships.all(), key=lambda row: row.user.username):
        user = membership.user
        about = {"email": user.email, "first_name": user.first_name, "last_name": user.last_name}
        own = budgets.get(("user", user.pk, ""))
        found.append(
            {
                "username": user.username,
                "role": membership.role,
                **{name: value for name, value in about.items() if value},
                **({"budgets": own} if own else {}),
            }
        )
    return found


def channel_entries() -> Iterator[Fields]:
    budgets = budget_lists()
    rows = Channel.objects.select_related("provider", "owner").prefetch_related(
        Prefetch("keys", ChannelKey.objects.order_by("pk")),
        Prefetch("offerings", Offering.objects.select_related("provider_model").prefetch_related("prices")),
    )
    for row in sorted(rows, key=lambda row: row.name):
        headers: Mapping[str, str] = _opened(row, "extra_headers") or {}
        proxy = _opened(row, "proxy_url")
        yield without_defaults(
            ChannelSpec,
            name=row.name,
            provider=row.provider.name,
            owner=row.owner.name if row.owner else None,
            base_url=row.base_url,
            keys=[_channel_key(row, key, index) for index, key in enumerate(row.keys.all())] or None,
            models=[_offering(o) for o in sorted(row.offerings.all(), key=lambda o: o.name)] or None,
            priority=row.priority,
            weight=plain_float(row.weight),
            region=row.region,
            timezone=row.timezone,
            proxy_url=seal_for_document(proxy) if proxy is not None else None,
            extra_headers={name: seal_for_document(headers[name]) for name in sorted(headers)},
            param_overrides=_sorted_json(row.param_overrides),
            timeouts=_timeouts(row),
            budgets=budgets.get(("channel", row.pk, "")),
            active=row.is_active,
        )


def _timeouts(row: Channel) -> Any:
    fields = without_defaults(
        TimeoutsSpec,
        connect_s=plain_float(row.connect_timeout_s),
        first_content_s=plain_float(row.first_byte_timeout_s),
        idle_s=plain_float(row.idle_timeout_s),
        total_s=plain_float(row.total_timeout_s),
    )
    return fields or TimeoutsSpec()


def _opened(row: Channel, field: str) -> Any:
    try:
        secret = row.open_sealed(field)
    except SealBroken as e:
        raise _cannot_open(row.name, field) from e
    return secret.reveal() if secret is not None else None


def _cannot_open(name: str, field: str) -> ConfigError:
    said = _("ENCRYPTION_KEYS do not open the %(field)s of the channel %(name)s.") % {"field": field, "name": name}
    return ConfigError([Place("export").says(said)])


def _channel_key(channel: Channel, row: ChannelKey, index: int) -> Fields | str:
    if row.env_name:
        key = f"env:{row.env_name}"
    else:
        try:
            key = seal_for_document(row.open_secret().reveal())
        except SealBroken as e:
            raise _cannot_open(f"{channel.name}/{row.name}", "key") from e
    if row.is_active and row.name == default_key_name(index):
        return key
    return {"name": row.name, "key": key, **({} if row.is_active else {"active": False})}


def _offering(row: Offering) -> Fields | str:
    fields = without_defaults(
        OfferingSpec,
        name=row.name if row.name != row.provider_model.name else None,
        model=row.provider_model.name,
        aliases=row.aliases,
        active=row.is_active,
        prices=_prices(row.prices.all()),
    )
    return row.name if fields == {"model": row.name} else fields


def _prices(rows: Iterable[DatedRates]) -> list[Fields] | None:
    return [
        {"effective_from": _moment(row.effective_from)}
        | without_defaults(
            PriceSpec,
            currency=row.currency,
            **{name: getattr(row, name) for name in SORTS},
            tiers=_with_numbers(row.tiers),
            windows=_with_numbers(row.windows),
            source=row.source,
        )
        for row in sorted(rows, key=lambda row: row.effective_from)
    ] or None


def _with_numbers(entries: Iterable[Mapping[str, Any]]) -> list[Fields]:
    """Tiers or windows with their prices as exact numbers, in a fixed order."""
    return [
        {name: value if name not in SORTS else Decimal(str(value)) for name, value in sorted(entry.items())}
        for entry in entries
    ]


def _moment(at: datetime) -> str:
    return str(Moment(at))


def plain_float(value: float | None) -> float | int | None:
    """A whole number without its .0."""
    return int(value) if value is not None and value.is_integer() and abs(value) < 2**53 else value


def _sorted_json(value: Any) -> Any:
    """The value with its objects in a fixed order: databases keep their keys differently."""
    if isinstance(value, dict):
        return {name: _sorted_json(value[name]) for name in sorted(value)}
    return [_sorted_json(item) for item in value] if isinstance(value, list) else value
