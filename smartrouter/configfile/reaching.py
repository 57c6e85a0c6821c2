"""Worker side. What groups ask for in vain: tags that nothing has, filters that nothing meets. Models may come later."""

from collections.abc import Iterator, Sequence

from django.utils.translation import gettext as _

from routing.members import offerings_by_member
from routing.models import ModelGroup
from routing.selection import TAG, Facts, Passing, conditions_of, facts_of, needs_prices, passing
from smartrouter.configfile.parsing import Entry
from smartrouter.configfile.places import Place, Problem
from smartrouter.configfile.rows import Run
from smartrouter.configfile.schema import ModelGroupSpec


def warn_of_unreached(run: Run, entries: Sequence[Entry[ModelGroupSpec]]) -> None:
    """Say where an active group selects nothing now, or lets in none of what its members offer."""
    places = {entry.spec.name: entry.place for entry in entries}
    rows = ModelGroup.objects.filter(is_active=True, name__in=places).prefetch_related("members").order_by("pk")
    groups = {row.name: row for row in rows if row.selects or conditions_of(row, with_tags=False)}
    if not groups:
        return
    facts = facts_of(with_prices=needs_prices(groups.values()))
    for name, place in places.items():
        if name in groups:
            for problem in _unreached(groups[name], place, facts):
                run.warn(problem)


def _unreached(group: ModelGroup, place: Place, facts: Sequence[Facts]) -> Iterator[Problem]:
    if group.selects:
        yield from _selecting_nothing(group, place, passing(facts, conditions_of(group, with_tags=True)))
    members = [member for member in group.members.all() if member.is_active]
    refs = {offering.pk for found in offerings_by_member(members).values() for offering in found}
    offered = [entry for entry in facts if entry.ref in refs]
    if offered and not passing(offered, conditions_of(group, with_tags=False)).refs:
        yield place.at("filters").says(_("The filters let in none of what its members offer."))


def _selecting_nothing(group: ModelGroup, place: Place, found: Passing) -> Iterator[Problem]:
    if found.refs:
        return
    unmet = [name for name, count in found.met.items() if not count] if found.looked_at else []
    for name in unmet:
        tag = name.removeprefix(TAG)
        if name.startswith(TAG):
            yield place.at("tags", group.tags.index(tag)).says(_("No active offering has the tag “%s”.") % tag)
        else:
            yield place.at("filters", name).says(_("No active offering meets this filter."))
    if not unmet:
        yield place.says(_("The group selects no offering now."))
