"""The outsider matrix, somebody who is admin in two trees, and what is hidden although a page of theirs could name it."""

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from channels.models import Channel, Offering
from providers.models import ProviderModel
from smartrouter.accounts.models import Membership, RouterKey, Tenant
from tests.admin.browser import form_of
from tests.security.test_outsiders_forms import change_url
from tests.security.two_sides import OURS, PLATFORM, THEIRS, Sides, body_of


@pytest.fixture
def both(sides: Sides) -> Sides:
    """Our admin is admin of their tenant too."""
    Membership.objects.create(user=sides.ours.people["admin"], tenant=sides.theirs.top, role="admin")
    return sides


def post(sides: Sides, row: Any, values: dict[str, Any], who: str = "admin") -> Any:
    """The answer to the row's form with these values."""
    browser, where = sides.browser(who), change_url(row)
    return browser.post(where, {**form_of(browser.get(where), f"{row._meta.model_name}_form"), **values})


@pytest.mark.parametrize(("what", "column"), [("team", "parent"), ("channel", "owner")])
def test_nothing_is_carried_from_one_tree_to_the_other(what: str, column: str, both: Sides) -> None:
    row = getattr(both.ours, what)
    inner = Tenant.objects.create(name=f"{OURS}-inner", parent=both.ours.top)

    for elsewhere in (both.theirs.top, both.theirs.team):
        answer = post(both, row, {column: elsewhere.pk})

        row.refresh_from_db()
        assert getattr(row, column) == both.ours.top
        assert "below the same topmost tenant" in body_of(answer)
    assert post(both, row, {column: inner.pk}).status_code == 302
    row.refresh_from_db()
    assert getattr(row, column) == inner
    assert post(both, row, {column: both.theirs.top.pk}, "operator").status_code == 302
    row.refresh_from_db()
    assert getattr(row, column) == both.theirs.top


def test_a_key_and_a_membership_are_for_people_of_the_tree(both: Sides) -> None:
    ours, theirs, add = both.ours, both.theirs, reverse("admin:accounts_routerkey_add")
    stranger, browser = theirs.people["viewer"], both.browser("admin")
    new = {**form_of(browser.get(add), "routerkey_form"), "name": "for-a-stranger", "tenant": ours.top.pk}
    joined = {"memberships-TOTAL_FORMS": "2", "memberships-1-role": "admin", "memberships-1-tenant": ours.team.pk}

    answers = [
        post(both, ours.key, {"owner": stranger.pk}),
        browser.post(add, {**new, "owner": stranger.pk}),
        post(both, ours.team, {**joined, "memberships-1-user": stranger.pk}),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert RouterKey.objects.get(pk=ours.key.pk).owner == ours.people["member"]
    assert not RouterKey.objects.filter(name="for-a-stranger").exists()
    assert not Membership.objects.filter(user=stranger, tenant=ours.team).exists()
    assert post(both, ours.key, {"owner": ours.people["viewer"].pk}).status_code == 302
    colleague = {"memberships-1-user": ours.people["viewer"].pk}
    assert post(both, ours.team, {**joined, **colleague}).status_code == 302


def test_an_owner_from_outside_may_stay(sides: Sides) -> None:
    RouterKey.objects.filter(pk=sides.ours.key.pk).update(owner=sides.theirs.people["viewer"])

    assert post(sides, sides.ours.key, {"rpm": "6"}).status_code == 302
    assert RouterKey.objects.get(pk=sides.ours.key.pk).rpm == 6


def hidden_models(sides: Sides) -> list[ProviderModel]:
    """A model that is switched off, one of a provider that is, and one of another provider than the channel's."""
    other = sides.provider.__class__.objects.create(name="another-vendor", base_url="https://another.example/v1")
    off = ProviderModel.objects.create(provider=sides.provider, name=f"{PLATFORM}-off", is_active=False)
    elsewhere = ProviderModel.objects.create(provider=other, name=f"{PLATFORM}-elsewhere")
    return [off, ProviderModel.objects.get(name=f"{PLATFORM}-model"), elsewhere]


def test_models_that_are_hidden_are_not_read_by_posting_their_ids(sides: Sides) -> None:
    for model in hidden_models(sides):
        more = {"offerings-TOTAL_FORMS": "2", "offerings-1-provider_model": model.pk}
        answer = post(sides, sides.ours.channel, more)

        assert answer.status_code == 200
        assert PLATFORM not in body_of(answer)
    assert Offering.objects.filter(channel=sides.ours.channel).count() == 1


def test_an_offering_keeps_a_model_that_was_hidden_since(sides: Sides) -> None:
    ProviderModel.objects.filter(name="plain-model").update(is_active=False)

    assert post(sides, sides.ours.channel, {"priority": "4"}).status_code == 302
    assert Channel.objects.get(pk=sides.ours.channel.pk).priority == 4


def log(row: Any, user: Any, *parts: dict[str, Any]) -> None:
    LogEntry.objects.log_actions(user.pk, [row], 2, change_message=json.dumps(list(parts)), single_object=True)


# Who reads which of the parts of a tenant's and a channel's history.
READ = {
    "admin": {"membership", "budget", "channel key", "offering"},
    "member": {"budget", "offering"},
    "viewer": {"budget", "offering"},
}


@pytest.mark.parametrize("role", READ)
def test_the_history_has_no_rows_of_inlines_that_are_not_seen(role: str, sides: Sides) -> None:
    author, names = sides.ours.people["admin"], ["membership", "budget", "channel key", "offering", "something else"]
    rows = [sides.ours.top, sides.ours.channel]
    for row in rows:
        for name in names:
            log(row, author, {"added": {"name": name, "object": f"<{name} one>"}})
        fields = {"changed": {"fields": ["Priority"]}}
        log(row, author, fields, *({"deleted": {"name": name, "object": f"<{name} two>"}} for name in names))
        LogEntry.objects.log_actions(author.pk, [row], 2, change_message="Free text.", single_object=True)

    text = ""
    for row in rows:
        name = f"admin:{row._meta.app_label}_{row._meta.model_name}_history"
        page = sides.browser(role).get(reverse(name, args=[row.pk]))
        text += body_of(page)
        entries = page.context["action_list"]
        assert entries.paginator.count == len(entries)

    for number in ("one", "two"):
        assert {name for name in names if f"{name} {number}" in text} == READ[role]
    assert "Priority" in text
    assert "Free text." not in text


def test_one_sentence_for_every_name_that_is_taken(sides: Sides) -> None:
    Tenant.objects.filter(pk=sides.theirs.team.pk).update(name="renamed-since")
    browser, ours = sides.browser("admin"), sides.ours
    tenant, channel = reverse("admin:accounts_tenant_add"), reverse("admin:channels_channel_add")
    new_tenant = {**form_of(browser.get(tenant), "tenant_form"), "parent": ours.top.pk}
    new_channel = {**form_of(browser.get(channel), "channel_form"), "owner": ours.top.pk, "provider": sides.provider.pk}

    answers = [
        browser.post(tenant, {**new_tenant, "name": f"{THEIRS}-top"}),
        browser.post(channel, {**new_channel, "name": f"{THEIRS}-channel"}),
        browser.post(channel, {**new_channel, "name": f"{PLATFORM}-channel"}),
    ]

    for answer in answers:
        assert answer.context["adminform"].form.errors["name"] == ["Choose another name."]


@pytest.mark.parametrize(
    ("field", "most"),
    [
        ("priority", 1_000_000), ("weight", 1_000_000), ("connect_timeout_s", 3600), ("first_byte_timeout_s", 3600),
        ("idle_timeout_s", 3600), ("total_timeout_s", 3600),
    ],
)  # fmt: skip
def test_a_channels_numbers_have_an_upper_bound(field: str, most: int, sides: Sides) -> None:
    assert field in post(sides, sides.ours.channel, {field: str(most + 1)}).context["adminform"].form.errors
    assert post(sides, sides.ours.channel, {field: str(most)}).status_code == 302
