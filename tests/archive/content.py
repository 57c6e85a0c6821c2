"""What archives are made of and compared by. Run in a process of its own, on the database that its environment names:

python -m tests.archive.content fill        at least one row in every table that belongs into an archive
python -m tests.archive.content usage N     N usage records with their hourly sums, in the ingester's own transactions
python -m tests.archive.content show        every row of every such table, one a line, the same for any database
python -m tests.archive.content sums        the hours whose sums do not agree with the usage records, and how many these are
python -m tests.archive.content next        the id of a new tenant
python -m tests.archive.content busy FILE   a backup during which another process stores usage records
python -m tests.archive.content die FILE    a restore that is killed when some of the usage records are in
"""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import django

CANARIES = (
    "sk-canary-upstream-key-0001",
    "http://canary:proxy-word@127.0.0.1:9",
    "canary-header-value",
    "canary-password-1",
)
ROUTER_KEY = "rk_canary_" + "c" * 40
MOMENT = datetime(2026, 2, 28, 23, 59, 59, 987654, tzinfo=UTC)
ODD_TEXT = 'ünï 汉字 \u2028 "quoted" \\ back\n\ttab 🜁'


def fill() -> None:
    """Every table gets rows with values at the edges of what its columns hold."""
    from django.contrib.admin.models import LogEntry
    from django.contrib.auth.models import Group, Permission
    from django.contrib.contenttypes.models import ContentType

    from billing.models import Budget, BudgetScope, ScopeUsage
    from channels.models import Channel, ChannelKey, Offering, OfferingPrice
    from providers.models import ExchangeRate, ModelPrice, Provider, ProviderModel
    from routing.models import GroupMember, ModelGroup, StrategyRule, TimePolicy
    from smartrouter.accounts.keys import digest_of
    from smartrouter.accounts.models import Membership, RouterKey, Tenant, User
    from smartrouter.lib.sealing import Secret

    user = User.objects.create_superuser(
        "ada", "ada@example.com", CANARIES[3], last_login=MOMENT, first_name=ODD_TEXT[:30]
    )
    group = Group.objects.create(name="auditors")
    group.permissions.add(*Permission.objects.filter(codename="view_tenant"))
    user.groups.add(group)
    user.user_permissions.add(*Permission.objects.filter(codename__startswith="view_")[:3])
    # A child whose id is below its parent's, and ids that were given out and are gone.
    child, parent = Tenant.objects.create(name="below"), Tenant.objects.create(name="above", display_name=ODD_TEXT)
    Tenant.objects.filter(pk=child.pk).update(
        parent=parent, rpm=1, tpm=2**31 - 1, max_parallel=3, can_see_budgets=True, can_shorten_answers=True,
        budget_status=429, end_user_rpm=5, end_user_tpm=6,
    )  # fmt: skip
    Tenant.objects.create(name="deleted").delete()
    Membership.objects.create(user=user, tenant=parent, role="admin")
    router_key = RouterKey.objects.create(
        tenant=child, name="main", owner=user, digest=digest_of(ROUTER_KEY), hint="rk_can…cccc", expires_at=MOMENT,
        allowed_models=["auto:*", ODD_TEXT], denied_models=[ODD_TEXT], default_model=ODD_TEXT, can_choose_strategy=True,
        networks=["10.0.0.0/8", "2001:db8::/32"], labels={ODD_TEXT[:60]: ODD_TEXT}, rpm=7, tpm=8, max_parallel=9,
        previous_digest=digest_of("rk_canary_" + "p" * 40), previous_until=MOMENT,
    )  # fmt: skip
    provider = Provider.objects.create(name="sim", base_url="http://127.0.0.1:9/v1", kind="local")
    model = ProviderModel.objects.create(
        provider=provider, name="m", context_length=2**31 - 1, quality_score=0.1 + 0.2, tags=["ü", "a"],
    )  # fmt: skip
    ProviderModel.objects.create(provider=provider, name="plain", capabilities=[])
    ModelPrice.objects.create(
        provider_model=model, input=Decimal("0.000000001"), output=Decimal("12345.678901234"), effective_from=MOMENT,
        tiers=[{"min_prompt_tokens": 200000, "input": "2.50"}],
    )  # fmt: skip
    ExchangeRate.objects.create(currency="CNY", usd=Decimal("0.1398500001"), effective_from=MOMENT)
    channel = Channel(
        name="sim-a", provider=provider, owner=parent, weight=1 / 3, param_overrides={"a": [1.5, None, 2**53]}
    )
    channel.proxy_url, channel.extra_headers = Secret(CANARIES[1]), Secret({"x-canary": CANARIES[2]})
    channel.save()
    Channel.objects.create(name="bare", provider=provider)
    key = ChannelKey(channel=channel, name="first")
    key.set_secret(CANARIES[0])
    key.save()
    offering = Offering.objects.create(channel=channel, provider_model=model, name="m", aliases=["gpt", "汉字"])
    OfferingPrice.objects.create(offering=offering, input=Decimal(0), effective_from=MOMENT)
    # A group whose fallback has a higher id.
    virtual = ModelGroup.objects.create(
        name="auto:fast", description=ODD_TEXT, layers=[{"field": "free", "weight": 1 / 3}]
    )
    last = ModelGroup.objects.create(
        name="auto:last", strategy="hybrid", selects=True, tags=["汉字"], max_cost_per_1k=Decimal("0.000000001"),
        min_context_length=2**31 - 1, capabilities=["vision"], provider_kinds=["local"], regions=["eu"],
    )  # fmt: skip
    scopes = [
        BudgetScope.objects.create(kind=kind, **of)
        for kind, of in (
            ("group", {}), ("tenant", {"tenant": parent}), ("end_user", {"tenant": parent, "end_user": ODD_TEXT}),
            ("router_key", {"router_key": router_key}), ("user", {"user": user}), ("channel", {"channel": channel}),
        )
    ]  # fmt: skip
    for scope in scopes:
        Budget.objects.create(scope=scope, window="day", limit=2**63 - 1, soft_limit=0, counted_from=MOMENT)
    Budget.objects.create(scope=scopes[0], unit="tokens", window="total", soft_limit=1, counted_from=MOMENT)
    ScopeUsage.objects.create(
        scope=f"end_user:{parent.pk}:{ODD_TEXT}", day=MOMENT.date(), process=uuid.UUID(int=2**128 - 1),
        money_nusd=2**63 - 1, tokens=-1, requests=2**63 - 1,
    )  # fmt: skip
    ScopeUsage.objects.create(scope="group:1", day=MOMENT.date())
    ModelGroup.objects.filter(pk=virtual.pk).update(
        fallback=last, budget_scope=scopes[0], max_cost_per_request_nusd=2**63 - 1
    )
    TimePolicy.objects.create(
        group=virtual, members_of=last, days=[6, 0], start=time(23, 59, 59, 999999), timezone="Asia/Shanghai"
    )
    StrategyRule.objects.create(pattern="汉字*", layers=[{"field": "speed_score", "order": "asc", "weight": 0.1}])
    GroupMember.objects.create(group=virtual, channel=channel, model="m", weight=0.1, daily_limit=2**31 - 1)
    GroupMember.objects.create(group=virtual, waiting_for="later", model="m")
    LogEntry.objects.create(
        user=user, content_type=ContentType.objects.get_for_model(Tenant), object_id=str(parent.pk), object_repr="above",
        action_flag=1, action_time=MOMENT, change_message=ODD_TEXT,
    )  # fmt: skip
    use(3)


def use(count: int) -> None:
    """Usage records as the ingester stores them."""
    from billing.ingest.ledger import store_rows

    for start in range(0, count, 500):
        store_rows([usage_row(number) for number in range(start, min(count, start + 500))])


def usage_row(number: int) -> dict[str, Any]:
    """A row of two hours' worth of them, as the ingester's are."""
    from billing.models import UsageRecord

    given = {
        "attempt_id": uuid.UUID(int=(number << 80) | (uuid.uuid4().int & (2**80 - 1))),
        "request_id": uuid.uuid4(),
        "attempt": 1,
        "is_billable": number % 3 != 0,
        "status": "ok",
        "endpoint": "chat",
        "is_streamed": True,
        "admitted_at": MOMENT + timedelta(seconds=number % 7200),
        "started_at": MOMENT,
        "duration_ms": None,
        "tenant": "above",
        "tenant_ref": 2**63 - 1,
        "router_key": "main",
        "router_key_ref": 1,
        "end_user": ODD_TEXT,
        "requested_model": "m",
        "offering": "m",
        "provider": "sim",
        "channel": "sim-a",
        "upstream_model": "m",
        "prompt_tokens": number,
        "completion_tokens": 7,
        "cost_nusd": 10**9 + number,
        "charge_nusd": None if number % 5 == 0 else number,
        "price": {"currency": "USD", "input": "0.15", "deep": {"list": [1, 2.5, None, "ü"]}},
    }
    row: dict[str, Any] = {}
    for field in UsageRecord._meta.concrete_fields:
        fallback = field.get_default() if field.has_default() or not field.null else None
        row[field.attname] = given.get(field.attname, fallback)
    return row


def show() -> Iterator[str]:
    """Every row, its values with their types; sealed ones by their ciphertext."""
    from django.apps import apps

    from smartrouter.archive.manifest import LEFT_OUT

    for model in sorted(apps.get_models(include_auto_created=True), key=lambda each: each._meta.label_lower):
        if model._meta.label_lower in LEFT_OUT:
            continue
        names = [field.attname for field in model._meta.concrete_fields]
        for row in model._base_manager.order_by("pk").values_list(*names).iterator(chunk_size=1000):
            yield f"{model._meta.label_lower} {[_shown(value) for value in row]}"


def _shown(value: Any) -> str:
    if hasattr(value, "blob"):
        return bytes(value.blob).hex()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True)
    return repr(value)


def sums() -> Iterator[str]:
    """The hours in which the sums are not those of the records; and how many records there are."""
    from django.db.models import Count, Sum
    from django.db.models.functions import TruncHour

    from billing.models import UsageHour, UsageRecord

    found = UsageRecord.objects.annotate(hour=TruncHour("admitted_at", tzinfo=UTC)).order_by().values_list("hour")
    records = set(found.annotate(Count("pk"), Sum("prompt_tokens"), Sum("cost_nusd")))
    hours = set(UsageHour.objects.values_list("hour", "attempts", "prompt_tokens", "cost_nusd"))
    yield from (repr(each) for each in sorted(records ^ hours))
    yield f"{sum(each[1] for each in records)} records"


def back_up_while_others_write(file: Path) -> None:
    """Between the reading of the hourly sums and that of the records, another process commits more of both."""
    from smartrouter.archive import write_archive

    read: list[str] = []

    def note(model: str, done: int, total: int | None) -> None:
        if model not in read and model == "billing.usagerecord":
            subprocess.run([sys.executable, "-m", "tests.archive.content", "usage", "40"], check=True)
        read.append(model)

    with file.open("wb") as target:
        write_archive(target, note)
    assert read.index("billing.usagehour") < read.index("billing.usagerecord")


def restore_and_die(file: Path) -> None:
    """kill -9 in the middle of the biggest table."""
    from smartrouter.archive import Archive, load_archive

    def note(model: str, done: int, total: int | None) -> None:
        if model == "billing.usagerecord" and done >= 1000:
            os.kill(os.getpid(), signal.SIGKILL)

    load_archive(Archive(file), note, may_replace=True)


def next_id() -> int:
    """What a new tenant gets."""
    from smartrouter.accounts.models import Tenant

    return Tenant.objects.create(name=f"new-{uuid.uuid4().hex}").pk


if __name__ == "__main__":
    django.setup()
    match sys.argv[1:]:
        case ["fill"]:
            fill()
        case ["usage", number]:
            use(int(number))
        case ["show"]:
            print("\n".join(show()))
        case ["sums"]:
            print("\n".join(sums()))
        case ["next"]:
            print(next_id())
        case ["busy", file]:
            back_up_while_others_write(Path(file))
        case ["die", file]:
            restore_and_die(Path(file))
