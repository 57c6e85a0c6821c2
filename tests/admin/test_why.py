"""The page “Why this one?”: what it tells, whom, and that a link says it all again."""

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse

from channels.models import Channel, Offering
from providers.models import Provider
from routing.models import GroupMember, ModelGroup
from smartrouter.accounts.models import Membership, RouterKey, Tenant, User
from smartrouter.admin.why import check_may_ask, why_url
from tests.admin.browser import form_of
from tests.admin.conftest import SECRETS, World, add_record
from tests.admin.test_pages import ELSEWHERE

WHY, KEYS = reverse("admin:why"), reverse("admin:why_keys")


@pytest.fixture
def crowd(world: World) -> World:
    """The small world with a channel of the platform and one of another tenant, all members of auto:fast."""
    other = Tenant.objects.create(name="globex")
    RouterKey.objects.create(tenant=other, name="ops", digest="d2", hint="rk_…")
    for name, owner in (("shared", None), ("globex-own", other)):
        channel = Channel.objects.create(name=name, provider=world.other_provider, owner=owner)
        Offering.objects.create(channel=channel, provider_model=world.other_model, name="qwen")
        GroupMember.objects.create(group=world.group, channel=channel, model="qwen", priority=2)
    return world


def asked(root: Client, **query: Any) -> Any:
    page = root.get(WHY, {"models": "auto:fast", "prompt_tokens": 1000, **query})
    assert page.status_code == 200
    return page


def order(page: Any) -> list[str]:
    return [each["channel"] for each in page.context["account"]["candidates"]]


def test_the_empty_page_is_the_form_and_asks_nothing(world: World, root: Client) -> None:
    page = root.get(WHY)

    assert page.status_code == 200
    assert "account" not in page.context
    assert form_of(page, "why-form")["prompt_tokens"] == "1000"
    assert not ELSEWHERE.search(page.content.decode())


def test_without_a_key_every_channel_is_told_and_whose_it_is(crowd: World, root: Client) -> None:
    page = asked(root)

    assert order(page)[0] == "openai-main"
    assert set(order(page)) == {"openai-main", "shared", "globex-own"}
    text = page.content.decode()
    assert "globex" in text
    assert "without live signals" in text
    assert not [secret for secret in SECRETS if secret in text]


def test_with_a_key_only_what_its_tenant_may_use_is_told(crowd: World, root: Client) -> None:
    page = asked(root, key=crowd.router_key.pk)

    assert order(page) == ["openai-main", "shared"]
    account = page.content.decode().split("why-form", 1)[1].split("</form>", 1)[1]
    assert "globex" not in account


def test_layers_show_number_value_and_score_and_the_excluded_their_reason(crowd: World, root: Client) -> None:
    ModelGroup.objects.filter(pk=crowd.group.pk).update(strategy="cost_first")

    text = asked(root, key=crowd.router_key.pk, needs="vision").content.decode()

    assert "Weighed by cost × 1, reliability × 0.2" in text
    assert "$0 / 1k tokens" in text
    assert "not known" in text
    assert "It is not known whether it can do what the request needs; others can" in text


def test_the_strategy_can_be_another_one_for_the_question(crowd: World, root: Client) -> None:
    [stage] = asked(root, strategy="speed_optimized").context["account"]["stages"]

    assert stage["strategy"] == "speed_optimized"


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"models": "nothing-of-this-name"}, "does not exist or is not offered to you"),
        ({"models": "tag:,"}, "has an empty tag"),
        ({"models": ""}, "Name a model"),
        ({"models": "\n".join(f"m{n}" for n in range(11))}, "At most 10 names"),
        ({"models": "m" * 201}, "at most 200 characters"),
        ({"prompt_tokens": "-1"}, "greater than or equal to 0"),
        ({"output_tokens": "0"}, "greater than or equal to 1"),
        ({"key": "999999"}, "not one of the available choices"),
        ({"key": "x"}, "not one of the available choices"),
        ({"strategy": "best"}, "best is not one of the available choices"),
        ({"needs": "levitation"}, "levitation is not one of the available choices"),
    ],
)
def test_a_question_without_an_answer_gets_a_sentence(
    world: World, root: Client, query: dict[str, str], sentence: str
) -> None:
    page = asked(root, **query)

    assert sentence in page.content.decode()
    assert "account" not in page.context


def test_what_the_key_may_not_ask_for_is_told_as_a_request_would_be(world: World, root: Client) -> None:
    page = asked(root, key=world.router_key.pk, models="mini")

    assert "This key may not use the model “mini”" in page.content.decode()


def test_a_revoked_key_gets_its_account_with_a_warning(world: World, root: Client) -> None:
    RouterKey.objects.filter(pk=world.router_key.pk).update(is_active=False)

    page = asked(root, key=world.router_key.pk)

    assert order(page) == ["openai-main"]
    assert "This key is not accepted now" in page.content.decode()


def test_where_nobody_may_serve_the_refusal_is_told(world: World, root: Client) -> None:
    Provider.objects.filter(pk=world.provider.pk).update(is_active=False)

    text = asked(root).content.decode()

    assert "A request would be refused with 503 no_available_channel" in text
    assert "Switched off" in text


def test_tags_with_commas_and_several_names_stay_as_they_are(crowd: World, root: Client) -> None:
    page = asked(root, models="tag:qwen2.5,7b\r\nauto:fast")

    assert page.context["account"]["asked"]["models"] == ["tag:qwen2.5,7b", "auto:fast"]


def test_names_are_shown_as_text(crowd: World, root: Client) -> None:
    Channel.objects.filter(name="shared").update(name="<b>shared</b>")

    text = asked(root, models="<script>alert(1)</script>\nauto:fast").content.decode() + asked(root).content.decode()

    assert "<script>alert(1)" not in text
    assert "<b>shared" not in text
    assert "&lt;b&gt;shared" in text


def test_a_usage_record_leads_to_its_own_question(world: World, root: Client) -> None:
    record = add_record(
        9, router_key_ref=world.router_key.pk, requested_model="auto:fast", prompt_tokens=321, is_streamed=True
    )

    text = root.get(reverse("admin:billing_usagerecord_change", args=[record.pk])).content.decode()
    page = root.get(why_url(record))

    assert why_url(record).replace("&", "&amp;") in text
    assert page.context["account"]["asked"] | {"needs": []} == page.context["account"]["asked"]
    found = page.context["account"]["asked"]
    assert (found["models"], found["prompt_tokens"], found["streamed"]) == (["auto:fast"], 321, True)
    assert page.context["form"].cleaned_data["key"] == world.router_key


def test_keys_are_found_by_name_and_tenant(crowd: World, root: Client) -> None:
    def found(term: str) -> list[str]:
        return [each["text"] for each in root.get(KEYS, {"term": term}).json()["results"]]

    assert found("ci") == found("acme") == found("acme/c") == ["acme/ci"]
    assert found("") == ["acme/ci", "globex/ops"]
    assert found("nobody") == []


@pytest.mark.parametrize("address", [WHY, KEYS, WHY + "?models=auto:fast&prompt_tokens=1"])
def test_outsiders_are_sent_to_the_sign_in_form(address: str, world: World, outsider: Client) -> None:
    answer = outsider.get(address)

    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("admin:login"))


def test_an_admin_of_a_tenant_may_not_ask(world: World, root: Client) -> None:
    sam = User.objects.create_user("sam", is_staff=True)
    Membership.objects.create(user=sam, tenant=world.tenant, role=Membership.Role.ADMIN)
    browser = Client()
    browser.force_login(sam)

    assert browser.get(reverse("admin:index")).status_code == 200
    assert browser.get(WHY).status_code == 404
    assert browser.get(KEYS).status_code == 404
    with pytest.raises(PermissionDenied):
        check_may_ask(browser.get(reverse("admin:index")).wsgi_request)
    assert check_may_ask(root.get(WHY).wsgi_request) is None  # type: ignore[func-returns-value]  # it does not raise
