"""Worker side. What a group's members stand for, read from the rows; the RoutingTable has the same rule in memory."""

from collections import defaultdict
from collections.abc import Sequence

from django.db.models import Q, QuerySet

from channels.models import Channel, Offering
from providers.models import Provider
from routing.models import GroupMember

# ("channel" or "provider", its primary key)
Target = tuple[str, int]


def active_offerings() -> QuerySet[Offering]:
    """The offerings that are switched on, with all that they stand on."""
    return Offering.objects.filter(
        is_active=True, channel__is_active=True, channel__provider__is_active=True, provider_model__is_active=True
    )


def offerings_by_member(members: Sequence[GroupMember]) -> dict[int, list[Offering]]:
    """The active offerings that each member (by primary key) stands for; a member that waits has an empty list.

    A member's model is an offering's name or one of its aliases or, on a channel that has no such name, the provider's
    own name for the model; on the member's channel or on any active channel of its provider. A member that waits for a
    name joins as soon as a provider, or else a channel, of that name exists. Three queries at most, however many members.
    """
    targets = _targets_of(members)
    channels = {pk for what, pk in targets.values() if what == "channel"}
    providers = {pk for what, pk in targets.values() if what == "provider"}
    by_name: defaultdict[tuple[Target, str], list[Offering]] = defaultdict(list)
    if targets:
        rows = (
            active_offerings()
            .filter(Q(channel_id__in=channels) | Q(channel__provider_id__in=providers))
            .select_related("channel", "provider_model")
        )
        offerings = list(rows)
        public = {(o.channel_id, name) for o in offerings for name in (o.name, *o.aliases)}
        for offering in offerings:
            names = {offering.name, *offering.aliases}
            if (offering.channel_id, offering.provider_model.name) not in public:
                names.add(offering.provider_model.name)
            for name in names:
                by_name[("channel", offering.channel_id), name].append(offering)
                by_name[("provider", offering.channel.provider_id), name].append(offering)
    return {m.pk: by_name.get((targets[m.pk], m.model), []) if m.pk in targets else [] for m in members}


def _targets_of(members: Sequence[GroupMember]) -> dict[int, Target]:
    """The channel or provider of each member that has one by now, by the member's primary key."""
    names = {member.waiting_for for member in members if member.waiting_for}
    come: dict[str, Target] = {}
    if names:
        channels = Channel.objects.filter(name__in=names).order_by().values_list("name", "pk")
        providers = Provider.objects.filter(name__in=names).order_by().values_list("name", "pk")
        come = {name: ("channel", pk) for name, pk in channels} | {name: ("provider", pk) for name, pk in providers}
    targets: dict[int, Target] = {}
    for member in members:
        if member.channel_id:
            targets[member.pk] = ("channel", member.channel_id)
        elif member.provider_id:
            targets[member.pk] = ("provider", member.provider_id)
        elif member.waiting_for in come:
            targets[member.pk] = come[member.waiting_for]
    return targets
