"""Worker side. The change log: which rows of the configuration changed, written in the transaction that changes them."""

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.models.signals import post_delete, post_save

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
    "routing.modelgroup",
    "routing.groupmember",
)


def log_rows(sender: type[models.Model], pks: Sequence[Any] | None, **kwargs: Any) -> None:
    """Write one log row for each changed row, or one for the whole model."""
    from routing.models import Change

    label = sender._meta.label_lower
    if label in LOGGED_MODELS:
        Change.objects.bulk_create(
            [Change(model=label, row=str(pk)) for pk in pks] if pks is not None else [Change(model=label)]
        )


def log_saved(sender: type[models.Model], instance: models.Model, **kwargs: Any) -> None:
    log_rows(sender, [instance.pk])


def connect() -> None:
    """Listen to every model that the RoutingTable is made of; called once, when the app is ready."""
    from routing.models import GroupMember, ModelGroup

    rows_changed.connect(log_rows, dispatch_uid="routing.changes")
    for model in (
        Tenant, RouterKey, ExchangeRate, Provider, ProviderModel, ModelPrice,
        Channel, ChannelKey, Offering, OfferingPrice, ModelGroup, GroupMember,
    ):  # fmt: skip
        assert model._meta.label_lower in LOGGED_MODELS
        post_save.connect(log_saved, sender=model, dispatch_uid=f"routing.changes.{model.__name__}")
        post_delete.connect(log_saved, sender=model, dispatch_uid=f"routing.changes.{model.__name__}.deleted")
