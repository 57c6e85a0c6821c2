"""Worker side. The change log: which rows of the configuration changed, written in the transaction that changes them."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.db import models
from django.db.models.signals import post_delete, post_save

from billing.models import Budget, BudgetScope
from channels.models import Channel, ChannelKey, Offering, OfferingPrice
from providers.models import ExchangeRate, ModelPrice, Provider, ProviderModel
from smartrouter.accounts.models import RouterKey, Tenant
from smartrouter.lib.changes import rows_changed

# What the RoutingTable is made of, in the order in which rows may refer to one another.
LOGGED_MODELS: tuple[str, ...] = (
    "accounts.tenant",
    "accounts.routerkey",
    "providers.exchangerate",
    "providers.provider",
    "providers.providermodel",
    "providers.modelprice",
    "channels.channel",
    "channels.channelkey",
    "channels.offering",
    "channels.offeringprice",
    "billing.budgetscope",
    "billing.budget",
    "routing.strategyrule",
    "routing.modelgroup",
    "routing.groupmember",
    "routing.timepolicy",
)
# Rows no further apart than this become one log entry: reading a few that did not change costs less than an entry each.
NEAR = 8


def log_rows(sender: type[models.Model], pks: Sequence[int] | None, **kwargs: Any) -> None:
    """Write one log row for each changed row or range of them, or one for the whole model."""
    from routing.models import Change

    label = sender._meta.label_lower
    if label in LOGGED_MODELS:
        rows = [""] if pks is None else [f"{low}" if low == high else f"{low}-{high}" for low, high in ranges_of(pks)]
        Change.objects.bulk_create([Change(model=label, row=row) for row in rows], batch_size=1000)


def ranges_of(pks: Sequence[int]) -> Iterator[tuple[int, int]]:
    """These ids as ranges (first, last), ascending; between two of a range lie fewer than NEAR others."""
    low = high = None
    for pk in sorted(pks):
        if low is None or high is None or pk > high + NEAR:
            if low is not None and high is not None:
                yield low, high
            low = pk
        high = pk
    if low is not None and high is not None:
        yield low, high


def range_of(row: str) -> tuple[int, int] | None:
    """The first and last id that a log row's text names; None for any."""
    if not row:
        return None
    low, _hyphen, high = row.partition("-")
    return int(low), int(high or low)


def log_saved(sender: type[models.Model], instance: models.Model, **kwargs: Any) -> None:
    log_rows(sender, [instance.pk])


def connect() -> None:
    """Listen to every model that the RoutingTable is made of; called once, when the app is ready."""
    from routing.models import GroupMember, ModelGroup, StrategyRule, TimePolicy

    rows_changed.connect(log_rows, dispatch_uid="routing.changes")
    for model in (
        Tenant, RouterKey, ExchangeRate, Provider, ProviderModel, ModelPrice,
        Channel, ChannelKey, Offering, OfferingPrice, BudgetScope, Budget, StrategyRule, ModelGroup, GroupMember, TimePolicy,
    ):  # fmt: skip
        assert model._meta.label_lower in LOGGED_MODELS
        post_save.connect(log_saved, sender=model, dispatch_uid=f"routing.changes.{model.__name__}")
        post_delete.connect(log_saved, sender=model, dispatch_uid=f"routing.changes.{model.__name__}.deleted")
