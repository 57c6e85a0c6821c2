"""Budgets and limits in the file: their rows, what a second apply makes of them, and how reports and exports have them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from billing.models import Budget, BudgetScope
from channels.models import Channel
from routing.models import Change, ModelGroup
from smartrouter.accounts.keys import digest_of
from smartrouter.accounts.models import RouterKey, Tenant, User
from smartrouter.configfile import export_document
from smartrouter.configfile.reading import read_text
from smartrouter.configfile.report import Action, Report
from tests.configfile.applying import apply, lines, of
from tests.configfile.documents import EVERYTHING, EXAMPLE, LITERAL_ROUTER_KEY, PREVIOUS_ROUTER_KEY

pytestmark = pytest.mark.django_db

KEY = "rk_budgets_0123456789abcdef"
P = 'providers: [{name: p, base_url: "https://p.example/v1"}]\n'


def stored() -> list[tuple[str, str, str, int | None, int | None]]:
    """Every budget: whom it is for, its window and unit, its limits."""
    rows = Budget.objects.select_related("scope").order_by("pk")
    return [(f"{b.scope.kind} {b.scope}", b.window, b.unit, b.limit, b.soft_limit) for b in rows]


def shown(report: Report) -> list[str]:
    """The report's lines with their fields."""
    return [" | ".join([line.action, str(line), *map(str, line.fields)]) for line in report.lines]


def exported(*path: Any) -> Any:
    """A part of the export."""
    found = read_text(export_document(), "export")[0]
    for part in path:
        found = found[part]
    return found


def test_the_designs_example_has_its_budgets_and_limits() -> None:
    apply(EXAMPLE)

    assert stored() == [
        ("tenant acme", "month", "usd", 100 * 10**9, 80 * 10**9),
        ("router_key acme/ci", "day", "usd", 5 * 10**9, None),
        ("channel openai-main", "day", "usd", 20 * 10**9, None),
    ]
    key = RouterKey.objects.get()
    assert (key.rpm, key.tpm, key.max_parallel) == (60, 100000, None)


def test_every_budget_and_limit_arrives() -> None:
    apply(EVERYTHING)

    assert stored() == [
        ("tenant root", "month", "usd", 100_000_000_001, 80 * 10**9),
        ("tenant root", "total", "tokens", None, 1_000_000),
        ("end_user root/alice", "week", "tokens", 0, None),
        ("end_user root/*", "day", "usd", 500_000_000, None),
        ("end_user root/*", "day", "requests", 100, None),
        ("user ann", "month", "usd", 9 * 10**18, None),
        ("router_key root/literal", "day", "usd", 5 * 10**9, None),
        ("channel main", "day", "usd", 20 * 10**9, None),
        ("group auto:all", "week", "requests", 1000, 500),
    ]
    root, key = Tenant.objects.get(name="root"), RouterKey.objects.get(name="literal")
    assert (root.rpm, root.tpm, root.max_parallel, root.end_user_rpm, root.end_user_tpm) == (
        600,
        2**31 - 1,
        20,
        6,
        7000,
    )
    assert (root.can_see_budgets, root.can_shorten_answers, root.budget_status) == (True, True, 429)
    assert (key.rpm, key.tpm, key.max_parallel, key.owner) == (60, 100000, 4, User.objects.get(username="ann"))
    assert (key.networks, key.labels) == (
        ["203.0.113.7", "2001:db8::/32"],
        {"team": "research", "cost centre": "007"},
    )
    assert (key.digest, key.previous_digest) == (digest_of(LITERAL_ROUTER_KEY), digest_of(PREVIOUS_ROUTER_KEY))
    assert key.previous_until == datetime(2030, 6, 1, tzinfo=UTC)
    assert ModelGroup.objects.get(name="auto:all").max_cost_per_request_nusd == 50_000_000


def test_a_list_is_all_the_budgets_of_its_owner_and_rows_that_fit_are_kept() -> None:
    apply("tenants: [{name: t, budgets: [{window: day, limit_usd: 5}, {window: month, limit_usd: 50}]}]")
    day, month = Budget.objects.order_by("window")

    report = apply("tenants: [{name: t, budgets: [{window: day, limit_usd: 7.25}, {window: week, limit_usd: 50}]}]")

    assert shown(report) == [
        "changed | budget t: day usd (limit_usd) | limit_usd: 5 -> 7.25",
        "added | budget t: week usd | limit_usd: 50",
        "removed | budget t: month usd",
    ]
    kept = Budget.objects.get(window="day")
    assert (kept.pk, kept.counted_from, kept.limit) == (day.pk, day.counted_from, 7_250_000_000)
    assert not Budget.objects.filter(pk=month.pk).exists()


def test_another_unit_is_another_budget() -> None:
    apply("tenants: [{name: t, budgets: [{window: day, limit_usd: 5}]}]")

    report = apply("tenants: [{name: t, budgets: [{window: day, limit_tokens: 5, soft_limit_tokens: 4}]}]")

    assert shown(report) == [
        "added | budget t: day tokens | limit_tokens: 5 | soft_limit_tokens: 4",
        "removed | budget t: day usd",
    ]


def test_without_a_list_budgets_stay_and_an_empty_one_removes_them() -> None:
    text = """
tenants:
- name: t
  budgets: [{window: day, limit_usd: 1}]
  users: [{username: u, role: admin, budgets: [{window: day, limit_usd: 2}]}]
  end_users: [{user: "*", budgets: [{window: day, limit_usd: 3}]}]
  router_keys: [{name: k, key: %s, budgets: [{window: day, limit_usd: 4}]}]
channels: [{name: c, provider: p, budgets: [{window: day, limit_usd: 5}]}]
model_groups: [{name: g, select: true, budgets: [{window: day, limit_usd: 6}]}]
"""
    apply(P + text % KEY)
    before = stored()

    without = apply("""
tenants: [{name: t, users: [{username: u, role: admin}], router_keys: [{name: k}]}]
channels: [{name: c, provider: p}]
model_groups: [{name: g, select: true}]
""")
    after = stored()
    emptied = apply("""
tenants: [{name: t, budgets: [], users: [{username: u, role: admin, budgets: []}], end_users: [],
           router_keys: [{name: k, budgets: []}]}]
channels: [{name: c, provider: p, budgets: []}]
model_groups: [{name: g, select: true, budgets: []}]
""")

    assert without.is_unchanged and after == before and len(before) == 6
    assert of(emptied, Action.REMOVED) == [
        "budget t: day usd",
        "budget end user t/*: day usd",
        "budget user u: day usd",
        "budget t/k: day usd",
        "budget c: day usd",
        "budget g: day usd",
    ]
    assert [line.block for line in emptied.lines] == ["tenants"] * 4 + ["channels", "model_groups"]
    assert stored() == []


def test_end_users_that_the_list_does_not_have_lose_their_budgets() -> None:
    budget = "budgets: [{window: day, limit_usd: 1}]"
    apply(f"tenants: [{{name: t, end_users: [{{user: '*', {budget}}}, {{user: alice, {budget}}}]}}, {{name: s, "
          f"end_users: [{{user: alice, {budget}}}]}}]")  # fmt: skip

    report = apply(f"tenants: [{{name: t, end_users: [{{user: '*', {budget}}}]}}]")

    assert shown(report) == ["removed | budget end user t/alice: day usd"]
    assert [row[0] for row in stored()] == ["end_user t/*", "end_user s/alice"]


def test_a_user_of_several_tenants_has_one_list_of_budgets() -> None:
    one = "users: [{username: u, role: admin, budgets: [{window: day, limit_usd: %s}]}]"

    apply(f"tenants: [{{name: a, {one % 1}}}, {{name: b, {one % '1.0'}}}]")

    assert [row[0] for row in stored()] == ["user u"]
    assert [exported("tenants", index, "users", 0, "budgets") for index in (0, 1)] == [
        [{"window": "day", "limit_usd": 1}]
    ] * 2


def test_a_renamed_owner_keeps_its_budgets() -> None:
    text = "tenants: [{name: %s, %sbudgets: [{window: day, limit_usd: 1}]}]"
    apply(text % ("old", ""))

    report = apply(text % ("new", "was: old, "))

    assert [str(line) for line in report.lines] == ["tenant new"]
    assert [row[0] for row in stored()] == ["tenant new"]


def test_an_export_has_budgets_in_one_order_and_every_amount_exactly() -> None:
    apply("""
tenants:
- name: t
  budgets:
  - {window: total, limit_usd: 8999999999.999999999}
  - {window: day, limit_tokens: 9223372036854775807}
  - {window: week, soft_limit_usd: 0.000000001}
  - {window: day, limit_usd: 0, soft_limit_usd: 0}
  - {window: day, limit_requests: 1}
  end_users:
  - {user: zoe, budgets: [{window: day, limit_usd: 1}]}
  - {user: "*", budgets: [{window: day, limit_usd: 1.50}]}
""")

    text = export_document()

    assert text.endswith("""\
tenants:
  - name: t
    budgets:
      - window: day
        limit_usd: 0
        soft_limit_usd: 0
      - window: day
        limit_requests: 1
      - window: day
        limit_tokens: 9223372036854775807
      - window: week
        soft_limit_usd: 0.000000001
      - window: total
        limit_usd: 8999999999.999999999
    end_users:
      - user: '*'
        budgets:
          - window: day
            limit_usd: 1.5
      - user: zoe
        budgets:
          - window: day
            limit_usd: 1
""")
    assert apply(text).is_unchanged


def test_budgets_reach_the_change_log_and_those_of_a_group_take_the_group_along() -> None:
    apply(P + "channels: [{name: c, provider: p}]\nmodel_groups: [{name: g, select: true}]")
    Change.objects.all().delete()

    apply("channels: [{name: c, provider: p, budgets: [{window: day, limit_usd: 1}]}]\n"
          "model_groups: [{name: g, select: true, budgets: [{window: day, limit_usd: 1}]}]")  # fmt: skip
    of_channel, of_group = BudgetScope.objects.order_by("pk")
    first = {str(change) for change in Change.objects.all()}
    Change.objects.all().delete()
    apply("model_groups: [{name: g, select: true, budgets: []}]")

    group = ModelGroup.objects.get()
    assert (of_channel.channel, of_group.kind, group.budget_scope) == (Channel.objects.get(), "group", of_group)
    assert {f"billing.budgetscope:{of_group.pk}", f"routing.modelgroup:{group.pk}"} < first
    assert len([change for change in first if change.startswith("billing.budget:")]) == 2
    assert len(Change.objects.all()) == 1 and str(Change.objects.get()).startswith("billing.budget:")


def test_pruning_leaves_the_budgets_of_what_it_switches_off() -> None:
    apply(
        "tenants: [{name: a, budgets: [{window: day, limit_usd: 1}]}, {name: b, budgets: [{window: day, limit_usd: 2}]}]"
    )

    report = apply("tenants: [{name: a, budgets: []}]", with_prune=True)

    assert shown(report) == ["removed | budget a: day usd", "switched_off | tenant b"]
    assert [row[0] for row in stored()] == ["tenant b"]


def test_a_dry_run_says_the_same_and_writes_no_scope() -> None:
    text = "tenants: [{name: a, budgets: [{window: day, limit_usd: 1}]}]\nmodel_groups: [{name: g, select: true}]"

    planned = shown(apply(text, dry_run=True))

    assert not BudgetScope.objects.exists() and not Tenant.objects.exists()
    assert shown(apply(text)) == planned


def test_limits_are_reported_in_the_documents_words() -> None:
    apply("tenants: [{name: t, rpm: 5, budget_status: 429}]\n"
          "model_groups: [{name: g, select: true, max_cost_per_request_usd: 0.05}]")  # fmt: skip

    report = apply("tenants: [{name: t, tpm: 7, end_user_rpm: 1}]\n"
                   "model_groups: [{name: g, select: true, max_cost_per_request_usd: 1.0}]")  # fmt: skip

    assert [list(map(str, line.fields)) for line in report.lines] == [
        ["budget_status: 429 -> 402", "rpm: 5 -> (none)", "tpm: (none) -> 7", "end_user_rpm: (none) -> 1"],
        ["max_cost_per_request_usd: 0.05 -> 1"],
    ]


def test_applying_budgets_twice_changes_nothing() -> None:
    apply(EVERYTHING)
    before = (stored(), list(Budget.objects.order_by("pk").values()), Change.objects.count())

    assert lines(apply(EVERYTHING)) == ([], [], [])
    assert (stored(), list(Budget.objects.order_by("pk").values()), Change.objects.count()) == before
