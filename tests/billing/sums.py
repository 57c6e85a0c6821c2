"""The sums worked out again from the rows, by other means than the ingester's."""

from collections import Counter
from datetime import date

from billing.budgets import NO_PROCESS
from billing.models import ScopeUsage, UsageHour, UsageRecord

KEY = ("tenant", "router_key", "group", "offering", "provider", "channel")
SUMS = (
    "requests",
    "attempts",
    "failures",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cost_nusd",
    "charge_nusd",
    "unpriced",
)


def assert_hours_are_the_sums_of_rows() -> None:
    expected: dict[tuple[object, ...], Counter[str]] = {}
    for row in UsageRecord.objects.all():
        key = (f"{row.admitted_at:%Y-%m-%d %H}", *(getattr(row, name) for name in KEY))
        total = expected.setdefault(key, Counter())
        total["attempts"] += 1
        total["failures"] += row.status in ("failed", "cut", "abandoned")
        for name in ("prompt_tokens", "completion_tokens", "cached_tokens"):
            total[name] += getattr(row, name)
        total["cost_nusd"] += row.cost_nusd or 0
        if row.is_billable:
            total["requests"] += 1
            total["charge_nusd"] += row.charge_nusd or 0
        total["unpriced"] += row.cost_nusd is None or (row.is_billable and row.charge_nusd is None)
    found = {
        (f"{hour.hour:%Y-%m-%d %H}", *(getattr(hour, name) for name in KEY)): {n: getattr(hour, n) for n in SUMS}
        for hour in UsageHour.objects.all()
    }
    assert found == {key: {name: total[name] for name in SUMS} for key, total in expected.items()}
    assert len(found) == UsageHour.objects.count()


def assert_scopes_are_the_sums_of_rows() -> None:
    expected: dict[tuple[str, int, object], Counter[str]] = {}
    for row in UsageRecord.objects.exclude(scopes=None):
        for scope, day in row.scopes:
            is_channel = scope.partition(":")[0] == "channel"
            if is_channel or row.is_billable:
                total = expected.setdefault((scope, day, row.process or NO_PROCESS), Counter())
                total["requests"] += 1
                total["tokens"] += row.prompt_tokens + row.completion_tokens
                total["money_nusd"] += (row.cost_nusd if is_channel else row.charge_nusd) or 0
    found = {
        (used.scope, date.toordinal(used.day), used.process): {
            name: getattr(used, name) for name in ("requests", "tokens", "money_nusd")
        }
        for used in ScopeUsage.objects.all()
    }
    assert found == {key: {name: total[name] for name in found.get(key, total)} for key, total in expected.items()}
    assert len(found) == ScopeUsage.objects.count()
