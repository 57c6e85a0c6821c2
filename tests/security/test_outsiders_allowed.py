"""The outsider matrix, its other side: what people of tenants may do, and exactly how far that goes."""

import pytest
from django.urls import reverse

from billing.models import Budget
from channels.models import ChannelKey, Offering
from smartrouter.accounts.models import Membership, RouterKey, Tenant, User
from tests.admin.browser import form_of
from tests.security.test_outsiders_forms import change_url, name_in, operators_form
from tests.security.two_sides import OURS, THEIRS, Sides, body_of


def test_what_they_may_do_works(sides: Sides) -> None:
    """The control of all above: an admin's forms are taken where they are right."""
    browser, ours = sides.browser("admin"), sides.ours
    team = change_url(ours.team)
    data = {**form_of(browser.get(team), "tenant_form"), "rpm": "77", "display_name": "Shown"}
    assert browser.post(team, data).status_code == 302
    data = {**form_of(browser.get(change_url(ours.top)), "tenant_form"), "display_name": "Shown too"}
    assert browser.post(change_url(ours.top), data).status_code == 302
    data = {**form_of(browser.get(change_url(ours.key)), "routerkey_form"), "rpm": "78"}
    assert browser.post(change_url(ours.key), data).status_code == 302
    add = reverse("admin:accounts_tenant_add")
    data = {**form_of(browser.get(add), "tenant_form"), "name": f"{OURS}-new", "parent": ours.team.pk}
    assert browser.post(add, data).status_code == 302
    add = reverse("admin:channels_channel_add")
    data = {
        **form_of(browser.get(add), "channel_form"),
        "name": "own",
        "provider": sides.provider.pk,
        "owner": ours.team.pk,
    }
    data |= {"keys-0-name": "default", "keys-0-new_key": "sk-of-our-own-vendor"}
    assert browser.post(add, data).status_code == 302

    for row in (ours.team, ours.top, ours.key):
        row.refresh_from_db()
    assert (ours.team.rpm, ours.team.display_name, ours.top.display_name, ours.key.rpm) == (
        77,
        "Shown",
        "Shown too",
        78,
    )
    assert Tenant.objects.get(name=f"{OURS}-new").parent == ours.team
    assert ChannelKey.objects.get(channel__name="own").open_secret().reveal() == "sk-of-our-own-vendor"


def test_an_admin_adds_a_member_of_the_tree_and_sets_budgets_below(sides: Sides) -> None:
    browser, ours = sides.browser("admin"), sides.ours
    data = form_of(browser.get(change_url(ours.team)), "tenant_form")
    budget = name_in(data, ours.budgets["team"], "limit")
    data |= {"memberships-TOTAL_FORMS": "2", "memberships-1-user": str(ours.people["viewer"].pk), budget: "9"}
    data |= {"memberships-1-role": "member", "memberships-1-tenant": str(ours.team.pk), "memberships-1-id": ""}

    answer = browser.post(change_url(ours.team), data)

    assert answer.status_code == 302, body_of(answer)[:500]
    assert Membership.objects.get(user=ours.people["viewer"], tenant=ours.team).role == "member"
    ours.budgets["team"].refresh_from_db()
    assert ours.budgets["team"].limit == 9_000_000_000


def test_a_member_makes_a_key_that_is_their_own_and_nothing_more(sides: Sides) -> None:
    sides.ours.budgets["key"].delete()  # else: test_outsiders_members
    browser, add = sides.browser("member"), reverse("admin:accounts_routerkey_add")
    data = {**form_of(browser.get(add), "routerkey_form"), "name": "mine", "tenant": sides.ours.team.pk}
    raised = {"owner": sides.ours.people["admin"].pk, "rpm": "9", "can_choose_strategy": "on"}

    answer = browser.post(add, {**data, **raised})

    key = RouterKey.objects.get(name="mine")
    assert answer.status_code == 200
    assert (key.owner, key.rpm, key.can_choose_strategy) == (sides.ours.people["member"], 5, False)
    assert "rk_" in body_of(answer)


def test_a_mixed_role_is_that_of_the_tenant_that_the_key_is_for(sides: Sides) -> None:
    person = sides.ours.people["viewer"]
    other = Tenant.objects.create(name="third")
    Membership.objects.create(user=person, tenant=other, role="admin")
    Membership.objects.filter(user=person, tenant=sides.ours.top).update(role="member")
    browser, add = sides.browser("viewer"), reverse("admin:accounts_routerkey_add")
    data = {**form_of(browser.get(add), "routerkey_form"), "rpm": "9", "can_choose_strategy": "on"}

    browser.post(add, {**data, "name": "as-member", "tenant": sides.ours.top.pk})
    browser.post(add, {**data, "name": "as-admin", "tenant": other.pk})

    member, own = RouterKey.objects.get(name="as-member"), RouterKey.objects.get(name="as-admin")
    assert (member.owner, member.rpm, member.can_choose_strategy) == (person, None, False)
    assert (own.owner, own.rpm, own.can_choose_strategy) == (None, 9, True)


def test_saving_as_new_does_not_reach_others(sides: Sides) -> None:
    browser, theirs = sides.browser("admin"), sides.theirs
    data = form_of(browser.get(reverse("admin:accounts_routerkey_add")), "routerkey_form")
    data |= {"name": "copied", "tenant": sides.ours.top.pk, "owner": theirs.people["member"].pk, "_saveasnew": "1"}

    answer = browser.post(change_url(theirs.key), data)

    assert not RouterKey.objects.filter(name="copied").exists()
    assert THEIRS not in body_of(answer)


def test_an_admin_does_not_change_the_model_of_a_priced_offering_nor_delete_it(sides: Sides) -> None:
    browser, channel = sides.browser("admin"), sides.ours.channel
    offering = Offering.objects.get(channel=channel)
    other = sides.provider.models.create(name="dearer")
    data = form_of(browser.get(change_url(channel)), "channel_form")

    browser.post(change_url(channel), {**data, "offerings-0-provider_model": other.pk, "offerings-0-DELETE": "on"})

    offering.refresh_from_db()
    assert offering.provider_model.name == "plain-model"
    assert offering.prices.count() == 1


def test_nobody_takes_a_name_that_usage_is_kept_under(sides: Sides) -> None:
    Tenant.objects.filter(pk=sides.theirs.top.pk).update(name="renamed-since")
    browser, add = sides.browser("admin"), reverse("admin:accounts_tenant_add")
    data = {**form_of(browser.get(add), "tenant_form"), "name": f"{THEIRS}-top", "parent": sides.ours.top.pk}

    answer = browser.post(add, data)

    assert "Choose another name." in body_of(answer)
    assert not Tenant.objects.filter(name=f"{THEIRS}-top").exists()


def test_nobody_below_learns_of_channels_that_the_tenant_itself_may_not_know(sides: Sides) -> None:
    browser, where = sides.browser("admin"), change_url(sides.ours.team)
    data = {**form_of(browser.get(where), "tenant_form"), "can_see_channels": "on"}

    assert "Only below a tenant that sees channels itself" in body_of(browser.post(where, data))
    Tenant.objects.filter(pk=sides.ours.top.pk).update(can_see_channels=True)
    assert browser.post(where, data).status_code == 302
    assert "secretive" in body_of(browser.get(reverse("admin:billing_usagerecord_changelist")))


@pytest.mark.parametrize("role", ["admin", "member"])
def test_saving_a_page_leaves_the_budgets_that_it_only_shows(role: str, sides: Sides) -> None:
    row = sides.ours.top if role == "admin" else sides.ours.key
    browser, where = sides.browser(role), change_url(row)
    theirs = form_of(browser.get(where), f"{row._meta.model_name}_form")
    operators = operators_form(sides, row)
    before = list(Budget.objects.order_by("pk").values())

    for data in (theirs, operators, {name: value for name, value in operators.items() if not name.endswith("-window")}):
        ids = [name for name in data if name.endswith("-id") and "budget" in name]
        browser.post(where, {**data, **{name.replace("-id", "-DELETE"): "on" for name in ids}})
        browser.post(where, data)

        assert list(Budget.objects.order_by("pk").values()) == before


def test_budgets_that_are_only_read_are_shown_in_dollars(sides: Sides) -> None:
    text = body_of(sides.browser("viewer").get(change_url(sides.ours.top)))

    assert "$5.00" in text
    assert "5000000000" not in text


@pytest.mark.parametrize("role", ["admin", "viewer"])
def test_passwords_of_others_are_not_theirs(role: str, sides: Sides) -> None:
    for person in (*sides.ours.people.values(), *sides.theirs.people.values(), sides.platform["accounts.user"]):
        before = User.objects.get(pk=person.pk).password
        where = reverse("admin:auth_user_password_change", args=[person.pk])

        answer = sides.browser(role).post(where, {"password1": "another-long-1", "password2": "another-long-1"})

        assert answer.status_code == 404
        assert User.objects.get(pk=person.pk).password == before
