"""The outsider matrix, forms as tables: what each role edits on each page, and what a posted form may not make of inlines."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from django.urls import reverse

from smartrouter.accounts.models import Membership, User
from tests.admin.browser import form_of
from tests.security.test_outsiders_forms import change_url
from tests.security.two_sides import ROLES, Sides, body_of, everything

MODELS = {"tenant": "accounts_tenant", "key": "accounts_routerkey", "channel": "channels_channel"}
PAGES = [
    "own tenant", "tenant below", "new tenant", "own key", "key of another", "new key", "own channel", "new channel"
]  # fmt: skip


@dataclass(frozen=True)
class Edited:
    """What is edited on a page: its own fields, and those of each inline on it; none where the inline is only read."""

    fields: str = ""
    inlines: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        return set(self.fields.split())

    @property
    def names_of_inlines(self) -> dict[str, set[str]]:
        return {prefix: set(names.split()) for prefix, names in self.inlines.items()}


_TENANT = (
    "name display_name kind parent is_active timezone can_see_channels rpm tpm max_parallel end_user_rpm end_user_tpm "
    "budget_status can_shorten_answers can_see_budgets"
)
_KEY = (
    "name owner allowed_models denied_models default_model can_choose_strategy expires_at rpm tpm max_parallel networks "
    "labels"
)
_CHANNEL = (
    "name owner priority weight is_active region timezone connect_timeout_s first_byte_timeout_s idle_timeout_s "
    "total_timeout_s"
)
_BUDGETS = "id unit window limit soft_limit DELETE"
_MEMBERSHIPS = "id user tenant role DELETE"
_CHANNEL_KEYS = "id channel name new_key is_active DELETE"
_OFFERINGS = "id channel provider_model name aliases is_active"
_READ = {
    "tenant": Edited("", {"budgets": "", "end-user-budgets": "", "router_keys": ""}),
    "key": Edited("", {"budgets": ""}),
    "channel": Edited("", {"offerings": "", "budgets": ""}),
}
_LOOKED_AT = {
    "own tenant": _READ["tenant"], "tenant below": _READ["tenant"], "new tenant": None, "own key": _READ["key"],
    "key of another": _READ["key"], "new key": None, "own channel": _READ["channel"], "new channel": None,
}  # fmt: skip
# None: there is no such page for them.
TABLE: dict[str, dict[str, Edited | None]] = {
    "viewer": _LOOKED_AT,
    "member": {
        **_LOOKED_AT,
        "own key": Edited("name default_model labels", {"budgets": ""}),
        "new key": Edited("tenant name allowed_models denied_models default_model networks labels expires_at"),
    },
    "admin": {
        "own tenant": Edited("display_name", {**_READ["tenant"].inlines, "memberships": _MEMBERSHIPS}),
        "tenant below": Edited(
            _TENANT,
            {
                "budgets": _BUDGETS,
                "end-user-budgets": f"{_BUDGETS} end_user",
                "memberships": _MEMBERSHIPS,
                "router_keys": "",
            },
        ),
        "new tenant": Edited(_TENANT),
        "own key": Edited(f"{_KEY} is_active", {"budgets": _BUDGETS}),
        "key of another": Edited(f"{_KEY} is_active", {"budgets": _BUDGETS}),
        "new key": Edited(f"{_KEY} tenant"),
        "own channel": Edited(
            _CHANNEL, {"keys": _CHANNEL_KEYS, "offerings": _OFFERINGS, "budgets": _BUDGETS}
        ),
        "new channel": Edited(f"{_CHANNEL} provider", {"keys": _CHANNEL_KEYS}),
    },
}  # fmt: skip


def row_of(page: str, sides: Sides) -> Any:
    ours = sides.ours
    return {"own tenant": ours.top, "tenant below": ours.team, "own key": ours.key, "key of another": ours.team_key,
            "own channel": ours.channel}[page]  # fmt: skip


def url_of(page: str, sides: Sides) -> str:
    first, _space, kind = page.partition(" ")
    return reverse(f"admin:{MODELS[kind]}_add") if first == "new" else change_url(row_of(page, sides))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("page", PAGES)
def test_exactly_this_is_edited(page: str, role: str, sides: Sides) -> None:
    answer, expected = sides.browser(role).get(url_of(page, sides)), TABLE[role][page]

    assert answer.status_code == (404 if expected is None else 200)
    if expected is None:
        return
    is_edited = answer.context["add"] or answer.context["has_change_permission"]
    assert (set(answer.context["adminform"].form.fields) if is_edited else set()) == expected.names
    inlines = {}
    for each in answer.context["inline_admin_formsets"]:
        may_post = each.has_change_permission or each.has_add_permission
        fields = set(each.formset.empty_form.fields) - set(each.readonly_fields) if may_post else set()
        inlines[each.formset.prefix] = fields
    assert inlines == expected.names_of_inlines


# Pages whose form somebody of ours posts although one of its inlines is only read, or is edited, by prefix.
POSTED = [
    (role, page, prefix)
    for role, pages in TABLE.items()
    for page, edited in pages.items()
    if edited is not None and edited.fields and not page.startswith("new")
    for prefix in edited.inlines
]


def ids_of(prefix: str, sides: Sides) -> int:
    """The id of a row of theirs that an inline with the prefix would have."""
    theirs = sides.theirs
    rows = {
        "budgets": theirs.budgets["top"], "end-user-budgets": theirs.budgets["end_user"], "router_keys": theirs.key,
        "memberships": theirs.people["viewer"].memberships.get(), "keys": theirs.channel.keys.get(),
        "offerings": theirs.channel.offerings.get(),
    }  # fmt: skip
    return int(rows[prefix].pk)


def posted(role: str, page: str, sides: Sides) -> dict[str, Any]:
    form_id = f"{row_of(page, sides)._meta.model_name}_form"
    return form_of(sides.browser(role).get(url_of(page, sides)), form_id)


@pytest.mark.parametrize(("role", "page", "prefix"), POSTED)
def test_ids_that_are_foreign_missing_or_too_many_change_nothing(
    role: str, page: str, prefix: str, sides: Sides
) -> None:
    browser, data, before = sides.browser(role), posted(role, page, sides), everything()
    without = {name: value for name, value in data.items() if name != f"{prefix}-0-id"}
    many = {f"{prefix}-{name}_FORMS": "50" for name in ("TOTAL", "INITIAL")}
    foreign = {
        f"{prefix}-0-id": str(ids_of(prefix, sides)),
        f"{prefix}-TOTAL_FORMS": "1",
        f"{prefix}-INITIAL_FORMS": "1",
    }

    answers = [browser.post(url_of(page, sides), each) for each in (
        {**data, **foreign}, {**without, **foreign, f"{prefix}-0-id": ""}, {**data, **foreign, f"{prefix}-0-id": "x"},
        {**data, **many}, {**without, **many}, without, {**data, f"{prefix}-INITIAL_FORMS": "9"},
    )]  # fmt: skip

    assert {answer.status_code for answer in answers} <= {200, 302}
    assert everything() == before
    for answer in answers:
        assert "zebra" not in body_of(answer)


@pytest.mark.parametrize(("role", "page", "prefix"), POSTED)
def test_a_form_with_thousands_of_rows_is_refused(role: str, page: str, prefix: str, sides: Sides) -> None:
    data = posted(role, page, sides)
    there, before = int(data[f"{prefix}-INITIAL_FORMS"]), everything()

    answer = sides.browser(role).post(url_of(page, sides), {**data, f"{prefix}-TOTAL_FORMS": "3000"})

    (formset,) = [each.formset for each in answer.context["inline_admin_formsets"] if each.formset.prefix == prefix]
    assert formset.total_form_count() == there + 100
    assert formset.non_form_errors()
    assert everything() == before


def test_a_tenant_with_hundreds_of_members_is_saved(sides: Sides) -> None:
    top = sides.ours.top
    people = User.objects.bulk_create([User(username=f"person-{number}") for number in range(120)])
    Membership.objects.bulk_create([Membership(user=person, tenant=top) for person in people])

    answer = sides.browser("admin").post(
        change_url(top), {**posted("admin", "own tenant", sides), "display_name": "Full"}
    )

    top.refresh_from_db()
    assert (answer.status_code, top.display_name) == (302, "Full")


def test_pages_say_what_is_theirs_to_know(sides: Sides) -> None:
    browser, operator = sides.browser("admin"), sides.browser("operator")
    add, budgets = reverse("admin:channels_channel_add"), reverse("admin:billing_budget_changelist")
    why = "Limits are set by whoever is above this tenant."

    assert why in body_of(browser.get(url_of("own tenant", sides)))
    assert why not in body_of(browser.get(url_of("tenant below", sides)))
    assert why not in body_of(operator.get(url_of("own tenant", sides)))
    assert "Only this tenant and those below it use the channel." in body_of(browser.get(add))
    assert "Empty: the platform" not in body_of(browser.get(add))
    assert "model group" not in body_of(browser.get(budgets))
    assert "model group" in body_of(operator.get(budgets))
