"""Worker side. What a group's tags and filters select now, in words: on its page, in lists, and as warnings after saving."""

from collections.abc import Sequence
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from channels.models import Offering
from providers.models import Provider, ProviderModel
from routing import selection
from routing.members import active_offerings, offerings_by_member
from routing.models import ModelGroup
from routing.selection import TAG, Facts, Passing, conditions_of, facts_of, needs_prices, passing
from smartrouter.admin.labels import label, link, link_to, listed
from smartrouter.lib.money import show_number

FIRST_SHOWN = 12
# A list counts what its groups select only while that is quick.
COUNTED_AT_MOST = 5000


def say_condition(group: ModelGroup, name: str) -> str:
    """A condition of the group in words."""
    match name:
        case name if name.startswith(TAG):
            return _("tag %s") % name.removeprefix(TAG)
        case selection.COST:
            return _("at most %s USD for 1,000 tokens") % show_number(group.max_cost_per_1k)
        case selection.CONTEXT:
            return _("at least %s tokens of context") % f"{group.min_context_length:,}"
        case selection.CAPABILITIES:
            names = dict(ProviderModel.Capability.choices)
            return listed(names.get(capability, capability) for capability in group.capabilities)
        case selection.KINDS:
            kinds = dict(Provider.Kind.choices)
            return _("provider: %s") % listed(kinds.get(kind, kind) for kind in group.provider_kinds)
        case _regions:
            return _("region: %s") % listed(group.regions)


def say_conditions(group: ModelGroup) -> str:
    """All that offerings have to meet to be selected."""
    names = conditions_of(group, with_tags=True)
    return " · ".join(say_condition(group, name) for name in names) or _("every offering")


def conditions_in_words(group: ModelGroup) -> tuple[list[str], list[str]]:
    """What the group's tags say, and what its filters say."""
    names = conditions_of(group, with_tags=True)
    tags = [say_condition(group, name) for name in names if name.startswith(TAG)]
    return tags, [say_condition(group, name) for name in names if not name.startswith(TAG)]


def selection_of(group: ModelGroup, facts: Sequence[Facts] | None = None) -> Passing:
    """What the group's tags and filters select among all active offerings, or among these."""
    if facts is None:
        facts = facts_of(with_prices=needs_prices([group]))
    return passing(facts, conditions_of(group, with_tags=True))


def counts_selected(groups: Sequence[ModelGroup]) -> dict[int, int]:
    """How many offerings each selecting group has now, by its primary key; nothing where counting would take long."""
    selecting = [group for group in groups if group.selects]
    if not selecting or active_offerings()[: COUNTED_AT_MOST + 1].count() > COUNTED_AT_MOST:
        return {}
    facts = facts_of(with_prices=needs_prices(selecting))
    return {group.pk: len(selection_of(group, facts).refs) for group in selecting}


def refs_of_group(group: ModelGroup) -> set[int]:
    """The active offerings (primary keys) that may serve the group now: of its members, and selected ones."""
    members = offerings_by_member([member for member in group.members.all() if member.is_active])
    explicit = {offering.pk for found in members.values() for offering in found}
    facts = facts_of(with_prices=needs_prices([group]))
    of_members = [entry for entry in facts if entry.ref in explicit]
    refs = set(passing(of_members, conditions_of(group, with_tags=False)).refs)
    return refs | set(selection_of(group, facts).refs) if group.selects else refs


def show_selection(group: ModelGroup) -> SafeString | str:
    """What the saved group selects now: how many offerings, and the first of them."""
    if not group.pk or not group.selects:
        return _("It selects nothing: only the members below serve.")
    found = selection_of(group)
    count = ngettext("%(count)s of %(all)s offering", "%(count)s of %(all)s offerings", found.looked_at) % {
        "count": f"{len(found.refs):,}",
        "all": f"{found.looked_at:,}",
    }
    first = _first_of(found.refs)
    parts = format_html_join("", '<li class="truncate">{}</li>', ((link_to(offering, offering),) for offering in first))
    address = f"{reverse('admin:channels_offering_changelist')}?{urlencode({'group': group.pk})}"
    return format_html(
        '<div class="flex flex-col gap-2"><span>{}</span><ul class="flex flex-col gap-1">{}</ul>{}</div>',
        label(count, "success" if found.refs else "warning"),
        parts,
        link(address, _("All offerings that serve this group") + " →") if found.refs else say_counts(group, found),
    )


def _first_of(refs: Sequence[int]) -> list[Offering]:
    shown = refs[:FIRST_SHOWN]
    rows = Offering.objects.select_related("channel").in_bulk(shown)
    return [rows[ref] for ref in shown if ref in rows]


def say_counts(group: ModelGroup, found: Passing) -> str:
    """How many offerings meet each condition."""
    parts = [
        _("%(name)s: %(value)s") % {"name": say_condition(group, name), "value": f"{count:,}"}
        for name, count in found.met.items()
    ]
    return _("Of %(all)s, so many meet each: %(counts)s.") % {
        "all": f"{found.looked_at:,}",
        "counts": _("; ").join(parts) or "-",
    }


def warnings_about(group: ModelGroup) -> list[str]:
    """What the saved group hopes for in vain: tags that nothing has, filters that nothing meets, each with counts."""
    return [*(_about_selection(group) if group.selects else ()), *_about_members(group)]


def _about_selection(group: ModelGroup) -> list[str]:
    found = selection_of(group)
    vain = [name.removeprefix(TAG) for name, count in found.met.items() if name.startswith(TAG) and not count]
    warnings = [_("No active offering has the tag “%s”.") % tag for tag in vain]
    if not found.refs:
        warnings.append(_("The group selects no offering now.") + " " + say_counts(group, found))
    return warnings


def _about_members(group: ModelGroup) -> list[str]:
    conditions = conditions_of(group, with_tags=False)
    members = [member for member in group.members.select_related("channel", "provider") if member.is_active]
    if not conditions or not members:
        return []
    offered = {offering.pk for found in offerings_by_member(members).values() for offering in found}
    facts = facts_of(active_offerings().filter(pk__in=offered), with_prices=needs_prices([group]))
    found = passing(facts, conditions)
    if found.refs or not offered:
        return []
    return [_("The filters let in none of what its members offer.") + " " + say_counts(group, found)]
