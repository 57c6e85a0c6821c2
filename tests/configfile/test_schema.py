"""The document's schema beside the models."""

from datetime import UTC, datetime, time

import msgspec
import pytest
from django.db import models

from channels.models import Channel, ChannelKey, Offering
from providers.models import DatedRates, Provider, ProviderModel
from routing.models import GroupMember, ModelGroup, TimePolicy
from smartrouter.accounts.models import RouterKey, Tenant
from smartrouter.configfile import schema
from smartrouter.configfile.moments import Moment
from smartrouter.configfile.rows import FIELD_NAMES

PAIRS: list[tuple[type[schema.Spec], type[models.Model]]] = [
    (schema.ProviderSpec, Provider),
    (schema.ModelSpec, ProviderModel),
    (schema.PriceSpec, DatedRates),
    (schema.TenantSpec, Tenant),
    (schema.RouterKeySpec, RouterKey),
    (schema.ChannelSpec, Channel),
    (schema.TimeoutsSpec, Channel),
    (schema.ChannelKeySpec, ChannelKey),
    (schema.OfferingSpec, Offering),
    (schema.ModelGroupSpec, ModelGroup),
    (schema.FiltersSpec, ModelGroup),
    (schema.MemberSpec, GroupMember),
    (schema.TimePolicySpec, TimePolicy),
]
# Fields that are no column, or whose default the document decides by place (a first key is "default").
OWN = {
    "was",
    "price",
    "prices",
    "keys",
    "router_keys",
    "users",
    "channels",
    "key",
    "hint",
    "timeouts",
    "effective_from",
    "routing_strategy",
    "filters",
    "time_policies",
    "days",
    "budgets",
    "end_users",
    "previous",
}
OWN_OF = {
    (schema.ChannelKeySpec, "name"),
    (schema.OfferingSpec, "name"),
    (schema.ChannelSpec, "models"),
    (schema.ModelGroupSpec, "select"),
}
SEALED = {"proxy_url", "extra_headers"}


@pytest.mark.parametrize(("spec", "model"), PAIRS, ids=lambda kind: kind.__name__)
def test_a_field_that_is_left_out_means_what_the_models_default_means(
    spec: type[schema.Spec], model: type[models.Model]
) -> None:
    columns = {
        document.removeprefix("timeouts."): column for column, document in FIELD_NAMES.items() if document != "key"
    }
    compared = 0
    for field in msgspec.structs.fields(spec):
        if field.required or field.name in OWN | SEALED or (spec, field.name) in OWN_OF:
            continue
        name = field.name
        if not any(column.name == name for column in model._meta.get_fields()):
            name = columns[name]
        column = model._meta.get_field(name)
        assert isinstance(column, models.Field)
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()

        if isinstance(column, models.TimeField):
            default = time.fromisoformat(default)

        assert default == column.get_default(), f"{spec.__name__}.{field.name}"
        compared += 1

    assert compared


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T08:00:00Z", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31 08:00", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        ("2026-01-31T08:00:00.000001+08:00", datetime(2026, 1, 31, 0, 0, 0, 1, tzinfo=UTC)),
    ],
)
def test_a_moment_without_a_zone_is_utc(written: str, meant: datetime) -> None:
    assert Moment.parse(written).at == meant
    assert Moment.parse(str(Moment.parse(written))).at == meant


@pytest.mark.parametrize("written", ["soon", "2026-13-01", "0001-01-01T00:00:00+14:00", 5, None, ["2026-01-01"]])
def test_what_is_no_moment_is_refused_with_an_example(written: object) -> None:
    with pytest.raises(ValueError, match="2026-01-31T08:00:00Z"):
        Moment.parse(written)
