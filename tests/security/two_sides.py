"""Two tenants of two levels each, with somebody of every role and a row of every sort on both sides, and the platform's own.

Every name on a side has that side's word in it; every name of the platform that tenants' people may not learn, the
platform's.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.test import Client

from billing.models import Budget, BudgetScope, UsageHour, UsageRecord
from channels.models import Channel, ChannelKey, Offering, OfferingPrice
from providers.models import ExchangeRate, ModelPrice, Provider, ProviderModel
from routing.models import GroupMember, ModelGroup, StrategyRule, WebProcess
from smartrouter.accounts.keys import digest_of, hint_of
from smartrouter.accounts.models import Membership, RouterKey, Tenant, User
from tests.admin.conftest import add_record

OURS, THEIRS, PLATFORM = "quokka", "zebra", "platypus"
ROLES = ("viewer", "member", "admin")
THEN = datetime(2026, 5, 4, 12, tzinfo=UTC)


@dataclass
class Side:
    """One tenant (top), the one below it (team), and what is theirs. rows: one of each model, of the top, by label."""

    word: str
    top: Tenant
    team: Tenant
    people: dict[str, User]
    key: RouterKey
    team_key: RouterKey
    channel: Channel
    budgets: dict[str, Budget]
    rows: dict[str, Any] = field(default_factory=dict)


@dataclass
class Sides:
    """Ours, theirs, and the platform's rows by label."""

    ours: Side
    theirs: Side
    platform: dict[str, Any]
    provider: Provider
    sleeping_provider: Provider

    def browser(self, role: str) -> Client:
        """The browser of somebody of our side; "operator": of the platform."""
        client = Client()
        client.force_login(self.platform["accounts.user"] if role == "operator" else self.ours.people[role])
        return client


def build() -> Sides:
    """All the rows."""
    provider = Provider.objects.create(name="vendor", base_url="https://vendor.example/v1")
    sleeping = Provider.objects.create(name=f"{PLATFORM}-asleep", base_url="https://asleep.example/v1", is_active=False)
    model = ProviderModel.objects.create(provider=provider, name="plain-model")
    price = {"input": Decimal(1), "output": Decimal(2), "effective_from": THEN}
    ModelPrice.objects.create(provider_model=model, **price)
    channel = Channel.objects.create(name=f"{PLATFORM}-channel", provider=provider)
    offering = Offering.objects.create(channel=channel, provider_model=model, name=f"{PLATFORM}-offer")
    group = ModelGroup.objects.create(name=f"auto:{PLATFORM}")
    GroupMember.objects.create(group=group, channel=channel, model="plain-model", position=0)
    hidden = [
        sleeping, channel, offering, group, ProviderModel.objects.create(provider=sleeping, name=f"{PLATFORM}-model"),
        ExchangeRate.objects.create(currency="CNY", usd=Decimal("0.14"), effective_from=THEN),
        StrategyRule.objects.create(pattern=f"{PLATFORM}-*", strategy="cost_first"),
        WebProcess.objects.create(uid=UUID(int=7), host=f"{PLATFORM}-host", pid=7, data_folder="/data"),
        User.objects.create_superuser(f"{PLATFORM}-root", f"{PLATFORM}@example.com"),
    ]  # fmt: skip
    ours, theirs = _side(OURS, 1, provider, model), _side(THEIRS, 2, provider, model)
    return Sides(ours, theirs, {row._meta.label_lower: row for row in hidden}, provider, sleeping)


def _side(word: str, number: int, provider: Provider, model: ProviderModel) -> Side:
    top = Tenant.objects.create(name=f"{word}-top", display_name=f"{word} top shown", rpm=10)
    team = Tenant.objects.create(name=f"{word}-team", display_name=f"{word} team shown", parent=top, rpm=10)
    people = {role: _person(f"{word}-{role}", top, role) for role in ROLES}
    people["team_admin"] = _person(f"{word}-lead", team, "admin")
    key = _key(f"{word}-key", top, people["member"])
    team_key = _key(f"{word}-low", team, people["team_admin"])
    channel = Channel.objects.create(name=f"{word}-channel", provider=provider, owner=top)
    vendor_key = ChannelKey(channel=channel, name=f"{word}-vendor-key")
    vendor_key.set_secret(f"sk-{word}-secret-of-the-vendor")
    vendor_key.save()
    offering = Offering.objects.create(channel=channel, provider_model=model, name=f"{word}-offer")
    OfferingPrice.objects.create(offering=offering, input=Decimal(0), output=Decimal(0), effective_from=THEN)
    budgets = {
        "top": _budget("tenant", tenant=top),
        "team": _budget("tenant", tenant=team),
        "end_user": _budget("end_user", tenant=top, end_user=f"{word}-customer"),
        "key": _budget("router_key", router_key=key),
        "channel": _budget("channel", channel=channel),
    }
    names = {"tenant": top.name, "router_key": key.name, "offering": f"{word}-offer", "channel": f"{word}-way"}
    record = add_record(
        number, **names, tenant_ref=top.pk, router_key_ref=key.pk, end_user=f"{word}-customer", provider="secretive",
        error_message=f"{PLATFORM} said {word}", upstream_model=f"{PLATFORM}-model", channel_key=f"{PLATFORM}-key",
    )  # fmt: skip
    hour = UsageHour.objects.create(hour=THEN, **names, provider="secretive", requests=number)
    side = Side(word, top, team, people, key, team_key, channel, budgets)
    rows = [top, people["viewer"], key, channel, offering, budgets["top"], record, hour]
    side.rows = {row._meta.label_lower: row for row in rows}
    return side


def _person(name: str, tenant: Tenant, role: str) -> User:
    user = User.objects.create_user(name, f"{name}@example.com", first_name=f"First {name}")
    Membership.objects.create(user=user, tenant=tenant, role=role)
    return user


def _key(name: str, tenant: Tenant, owner: User) -> RouterKey:
    token = f"rk_{name}_0123456789"
    return RouterKey.objects.create(
        tenant=tenant, name=name, owner=owner, digest=digest_of(token), hint=hint_of(token), labels={name: name}, rpm=5
    )


def _budget(kind: str, **owner: Any) -> Budget:
    scope = BudgetScope.objects.create(kind=kind, **owner)
    return Budget.objects.create(scope=scope, limit=5_000_000_000)


_TABLES = [Tenant, Membership, RouterKey, User, Channel, ChannelKey, Offering, OfferingPrice, Budget, BudgetScope,
           Provider, ProviderModel, ModelGroup, StrategyRule, WebProcess, UsageRecord, UsageHour]  # fmt: skip


def everything() -> dict[str, list[Any]]:
    """All rows as they stand, to compare with later; without the moments of signing in."""
    return {
        model._meta.label_lower: [
            {name: str(value) for name, value in row.items() if name != "last_login"}
            for row in model._default_manager.order_by("pk").values()
        ]
        for model in _TABLES
    }


def body_of(answer: Any) -> str:
    """What the answer says, headers too."""
    return f"{answer.content.decode(errors='replace')} {dict(answer.headers)}"
