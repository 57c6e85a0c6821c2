"""Every page of the admin in Chinese: no English sentence is left on any of them."""

import re
from collections.abc import Collection, Iterator
from datetime import time
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from billing.models import UsageHour, UsageRecord
from routing.models import ModelGroup, StrategyRule, TimePolicy, WebProcess
from smartrouter.accounts.models import RouterKey, User
from smartrouter.lib.clock import mint_uuid7
from tests.admin.browser import form_of
from tests.admin.conftest import World, add_record
from tests.admin.test_usage_trace import TRACE
from tests.languages.names import PATTERNS
from tests.languages.visible import english_in, read_page

PASSWORD = "correct-horse-battery-9"
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label_lower)
# Routes that answer without a page: data for a script, a redirect, or a page that another test asks for.
READ_ONLY = {"billing.budget", "billing.usagerecord", "billing.usagehour", "routing.webprocess"}
NOT_PAGES = {"autocomplete", "jsi18n", "view_on_site", "search", "why_keys", "routing_strategyrule_default",
             "accounts_routerkey_end_previous"}  # fmt: skip


@pytest.fixture
def chinese(root: Client) -> Client:
    """A superuser's browser that has chosen Chinese."""
    root.cookies[settings.LANGUAGE_COOKIE_NAME] = "zh-hans"
    return root


@pytest.fixture
def full(world: World, chinese: Client) -> World:
    """The small configuration with a history, with failures and with everything that a list can show a label for."""
    root = User.objects.get(username="root")
    choose_in_every_way(world)
    process = WebProcess.objects.create(uid=mint_uuid7(0), host="web-1", pid=4711, data_folder="/srv/data")
    world.rows.setdefault("routing.webprocess", process)
    for row in world.rows.values():
        kind = ContentType.objects.get_for_model(row)
        changes = [{"added": {}}, {"changed": {"fields": ["is_active"]}}]
        LogEntry.objects.create(
            user=root, content_type=kind, object_id=str(row.pk), object_repr=str(row), action_flag=CHANGE,
            change_message=str(changes).replace("'", '"'),
        )  # fmt: skip
    for number, status in enumerate(UsageRecord.Status.values, 1):
        text = "the stream ended before any content" if status == "failed" else ""
        add_record(
            number, status=status, error_class="garbage" if text else "", error_message=text, cost_nusd=None,
            charge_nusd=None, price=None, first_content_ms=12, is_estimated=True, reported_model="another",
            is_model_mismatch=True, request_id=world.record.request_id, attempt=number + 1, is_billable=False,
        )  # fmt: skip
    return world


def choose_in_every_way(world: World) -> None:
    """A group with layers, filters, members that it selects, a fallback group and time policies; a trace of a choice."""
    spare = ModelGroup.objects.create(name="auto:spare", is_active=False)
    ModelGroup.objects.filter(pk=world.group.pk).update(
        layers=[{"field": "effective_cost"}, {"field": "quality_score", "order": "asc", "weight": 0.5}], selects=True,
        tags=["mini"], max_cost_per_1k="0.002", min_context_length=4000, capabilities=["vision", "function_calling"],
        provider_kinds=["local", "official"], regions=["eu"], fallback=spare,
    )  # fmt: skip
    working_hours = {"days": [0, 1, 2, 3, 4], "start": time(9), "end": time(18), "timezone": "Asia/Shanghai"}
    TimePolicy.objects.create(group=world.group, strategy="hybrid", position=0, **working_hours)
    TimePolicy.objects.create(group=world.group, days=[5, 6], members_of=spare, position=1)
    StrategyRule.objects.create(pattern="*", layers=[{"field": "speed_score"}])
    RouterKey.objects.filter(pk=world.router_key.pk).update(denied_models=["openai/*"], default_model="auto:fast")
    UsageRecord.objects.filter(pk=world.record.pk).update(trace={**TRACE, "group": "auto:spare"})


def check(page: Any, what: str, statuses: Collection[int] = (200, 403)) -> list[str]:
    """What is wrong with one answer: its language, and each piece of English with the page and the text around it."""
    assert page.status_code in statuses, (what, page.status_code, page.headers.get("Location"))
    language, texts = read_page(page.content.decode())
    is_whole = b"<html" in page.content
    found = [f"{what}: <html lang={language!r}>"] if is_whole and language != "zh-hans" else []
    for text in dict.fromkeys(texts):
        for run in english_in(text, PATTERNS):
            found.append(f"{what}: {run!r} in {text[:160]!r}")
    return found


def expect_none(found: list[str]) -> None:
    """Fail with these lines and nothing else."""
    if found:
        pytest.fail("\n".join(dict.fromkeys(found)), pytrace=False)


def names_of_routes(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    """The name of every route below these."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from names_of_routes(pattern.url_patterns)
        elif pattern.name:
            yield pattern.name


def model_pages(model: Any, row: Any) -> dict[str, str]:
    """The address of every page of a model by its route's name, from the URLconf."""
    stem = f"{model._meta.app_label}_{model._meta.model_name}_"
    pages = {}
    for name in names_of_routes(admin.site._registry[model].urls):
        what = name.removeprefix(stem)
        if not NOT_PAGES.isdisjoint((what, name)):
            continue
        needs_row = what not in ("changelist", "add")
        pages[name] = reverse(f"admin:{name}", args=[row.pk] if needs_row else [])
    return pages


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model._meta.label_lower))
def test_the_pages_of_a_model_are_chinese(model: Any, full: World, chinese: Client) -> None:
    pages = model_pages(model, full.rows[model._meta.label_lower])
    found = []

    for name, address in pages.items():
        page = chinese.get(address)
        if page.status_code != 403:
            found += check(page, name)
    found += check(chinese.get(pages[f"{_stem(model)}changelist"], {"q": "nothing-is-called-this"}), "empty list")

    expect_none(found)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model._meta.label_lower))
def test_what_a_form_says_about_wrong_values_is_chinese(model: Any, full: World, chinese: Client) -> None:
    row, found = full.rows[model._meta.label_lower], []
    stem = f"admin:{_stem(model)}"

    for what, address in (("add", reverse(f"{stem}add")), ("change", reverse(f"{stem}change", args=[row.pk]))):
        page = chinese.get(address)
        if page.status_code == 403 or b'name="_save"' not in page.content:
            continue
        sent = form_of(page, f"{model._meta.model_name}_form")
        choices = set(re.findall(r'<select[^>]*\sname="([^"]+)"', page.content.decode()))
        for sort, value in (("empty", ""), ("wrong", "!?" * 600)):
            kept = ("csrfmiddlewaretoken", "-TOTAL_FORMS", "-INITIAL_FORMS", "-MIN_NUM_FORMS", "-MAX_NUM_FORMS", "-id")
            # Django itself fails on a choice of rows that is not a number.
            broken = {
                name: old if name.endswith(kept) else "999999" if value and name in choices else value
                for name, old in sent.items()
            }
            answer = chinese.post(address, broken)
            if answer.status_code == 200:
                found += check(answer, f"{what}, {sort}")

    expect_none(found)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model._meta.label_lower))
def test_actions_filters_and_what_they_answer_are_chinese(model: Any, full: World, chinese: Client) -> None:
    address = reverse(f"admin:{_stem(model)}changelist")
    site_admin = admin.site._registry[model]
    request = chinese.get(address).wsgi_request
    row, found = full.rows[model._meta.label_lower], []

    for action in site_admin.get_actions(request) if site_admin.actions is not None else ():
        found += check(chinese.post(address, {"action": action}, follow=True), f"{action} of nothing")
        chosen = {"action": action, "_selected_action": [row.pk], "index": 0}
        found += check(chinese.post(address, chosen, follow=True), action)
    for choice in _filter_addresses(site_admin, request):
        found += check(chinese.get(address + choice, follow=True), f"filter {choice}")

    expect_none(found)


def test_saving_and_deleting_are_answered_in_chinese(full: World, chinese: Client) -> None:
    found = []
    rows = {label: row for label, row in full.rows.items() if label not in READ_ONLY}
    for label, row in rows.items():
        stem = f"admin:{row._meta.app_label}_{row._meta.model_name}_"
        change = reverse(f"{stem}change", args=[row.pk])
        sent = form_of(chinese.get(change), f"{row._meta.model_name}_form")
        for button in ("_save", "_continue", "_addanother"):
            answer = chinese.post(change, {**sent, button: "1"}, follow=True)
            found += check(answer, f"{label} {button}")
    for label, row in reversed(rows.items()):
        delete = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_delete", args=[row.pk])
        found += check(chinese.post(delete, {"post": "yes"}, follow=True), f"{label} deleted")

    expect_none(found)


def test_a_created_router_key_is_shown_in_chinese(full: World, chinese: Client) -> None:
    address = reverse("admin:accounts_routerkey_add")
    form = form_of(chinese.get(address), "routerkey_form")
    answer = chinese.post(address, {**form, "tenant": full.tenant.pk, "name": "mini"})

    found = check(answer, "created")

    assert b'id="router-key"' in answer.content
    expect_none(found)


def test_the_pages_of_the_whole_admin_are_chinese(full: World, chinese: Client) -> None:
    found = check(chinese.get(reverse("admin:index")), "index")
    for label in sorted({model._meta.app_label for model in MODELS}):
        found += check(chinese.get(reverse("admin:app_list", args=[label])), f"app {label}")
    found += check(chinese.get(reverse("admin:password_change")), "password change")
    wrong = {"old_password": "x", "new_password1": "a", "new_password2": "b"}
    found += check(chinese.post(reverse("admin:password_change"), wrong), "wrong password change")
    found += check(chinese.get(reverse("admin:search"), {"s": "auto"}), "search") if _is_routed("admin:search") else []

    expect_none(found)


def test_an_empty_house_is_chinese(chinese: Client) -> None:
    found = check(chinese.get(reverse("admin:index")), "index")
    for model in MODELS:
        found += check(chinese.get(reverse(f"admin:{_stem(model)}changelist")), str(model._meta.label))

    expect_none(found)


def test_signing_in_and_out_is_chinese(client: Client, db: None) -> None:
    User.objects.create_superuser("root", "root@example.com", PASSWORD)
    User.objects.create_user("ivy", "ivy@acme.example", PASSWORD)
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "zh-hans"
    address = reverse("admin:login")

    found = check(client.get(address), "login")
    found += check(client.post(address, {}), "login, empty")
    found += check(client.post(address, {"username": "root", "password": "wrong"}), "login, wrong")
    found += check(client.post(address, {"username": "ivy", "password": PASSWORD}), "login, no administrator")
    client.login(username="ivy", password=PASSWORD)
    found += check(client.get(address), "signed in, no administrator")
    client.login(username="root", password=PASSWORD)
    sent = {"old_password": PASSWORD, "new_password1": PASSWORD[::-1], "new_password2": PASSWORD[::-1]}
    found += check(client.post(reverse("admin:password_change"), sent, follow=True), "password changed")
    found += check(client.post(reverse("admin:logout")), "logged out")

    expect_none(found)


def test_every_route_of_the_admin_is_visited() -> None:
    known = {name for model in MODELS for name in model_pages(model, UsageHour(pk=1))}
    plain = {"index", "login", "logout", "password_change", "password_change_done", "app_list", "why"}

    routes = set(names_of_routes(admin.site.urls[0]))

    assert routes - known - plain <= NOT_PAGES


def test_the_count_of_english_would_notice() -> None:
    page = (
        '<html lang="en"><p>模型 not yet <b>known</b></p><input placeholder="Type to search"><i lang="en">An offer</i>'
    )

    language, texts = read_page(
        page + '<span class="material-symbols-outlined">arrow back</span><script>var a b</script>'
    )

    assert language == "en"
    assert [run for text in texts for run in english_in(text, PATTERNS)] == ["not yet known", "Type to search"]
    assert english_in("来自 OpenAI API 的 gpt-4o-mini，见 https://a.example/b c", PATTERNS) == []


def _stem(model: Any) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}_"


def _is_routed(name: str) -> bool:
    return name in {f"admin:{route}" for route in names_of_routes(get_resolver().url_patterns)}


def _filter_addresses(site_admin: Any, request: Any) -> Iterator[str]:
    """The address of every choice of every filter."""
    changelist = site_admin.get_changelist_instance(request)
    for spec in changelist.filter_specs:
        for choice in spec.choices(changelist):
            if "query_string" in choice:
                yield str(choice["query_string"])
