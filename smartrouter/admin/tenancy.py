"""Worker side. What somebody who signs in to the admin may see and do: operators everything, others their tenants' tree.

A role in a tenant holds for that tenant and all below it; the strongest counts. A role counts only while its tenant and all
above it are active. Everything here is about one request: memberships are read once, the tree level by level.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from django.http import HttpRequest

from smartrouter.accounts.models import Membership, Tenant


class Access(IntEnum):
    """What one may do with a row."""

    NONE = 0
    VIEW = 1
    CHANGE = 2


_RANKS = {Membership.Role.VIEWER: 1, Membership.Role.MEMBER: 2, Membership.Role.ADMIN: 3}
_MEMBER, _ADMIN = _RANKS[Membership.Role.MEMBER], _RANKS[Membership.Role.ADMIN]


@dataclass(frozen=True, slots=True)
class Viewpoint:
    """Who looks, and at which tenants (ids). Operators see all; their sets are empty.

    tenants: all that are seen. managed: where one is member or admin. administered: where one is admin. governed: those whose
    parent one administers, which is what their limits, budgets, place and status are for. names and depths: of all tenants
    seen, a root of what is seen at 0. naming_channels: those that may know which channel served them.
    """

    user_id: int | None = None
    is_operator: bool = False
    tenants: frozenset[int] = frozenset()
    managed: frozenset[int] = frozenset()
    administered: frozenset[int] = frozenset()
    governed: frozenset[int] = frozenset()
    naming_channels: frozenset[int] = frozenset()
    names: Mapping[int, str] = field(default_factory=dict)
    depths: Mapping[int, int] = field(default_factory=dict)

    @property
    def may_enter(self) -> bool:
        """Whether there is anything here to see."""
        return self.is_operator or bool(self.tenants)


NOBODY = Viewpoint()


def viewpoint_of(request: HttpRequest) -> Viewpoint:
    """The viewpoint of the request's user, found once a request."""
    found: Viewpoint | None = getattr(request, "_viewpoint", None)
    if found is None:
        found = viewpoint_from(request.user)
        request._viewpoint = found  # type: ignore[attr-defined]  # lives and ends with the request
    return found


def viewpoint_from(user: Any) -> Viewpoint:
    """The viewpoint of a user. Queries: memberships, then one for each level of the tree above and below."""
    if not getattr(user, "is_active", False):
        return NOBODY
    if user.is_superuser:
        return Viewpoint(user.pk, is_operator=True)
    granted = {
        tenant: _RANKS[Membership.Role(role)]
        for tenant, role in Membership.objects.filter(user=user).values_list("tenant_id", "role")
    }
    granted = {tenant: granted[tenant] for tenant in _alive(granted)}
    return _seen_from(user.pk, granted) if granted else NOBODY


def tops_of(tenants: Iterable[int]) -> dict[int, int]:
    """The topmost tenant above each, or itself. Of a circle, made by hand in the database, each is its own."""
    known = _way_up(tenants)
    tops = {}
    for tenant in tenants:
        way = [tenant]
        while (parent := known[way[-1]][0]) is not None and parent not in way:
            way.append(parent)
        tops[tenant] = way[-1] if known[way[-1]][0] is None else tenant
    return tops


def _alive(tenants: Iterable[int]) -> set[int]:
    """Those of the tenants that are active, and all above them too."""
    known = _way_up(tenants)
    return {tenant for tenant in tenants if _is_alive(tenant, known)}


def _way_up(tenants: Iterable[int]) -> dict[int, tuple[int | None, bool]]:
    """The parent of each of the tenants and of all above them, and whether it is active. A query for each level."""
    known: dict[int, tuple[int | None, bool]] = {}
    wanted = set(tenants)
    while wanted:
        rows = Tenant.objects.filter(pk__in=wanted).order_by().values_list("pk", "parent_id", "is_active")
        known.update({pk: (parent, is_active) for pk, parent, is_active in rows})
        wanted = {parent for pk in wanted if (parent := known[pk][0]) is not None and parent not in known}
    return known


def _is_alive(tenant: int, known: Mapping[int, tuple[int | None, bool]]) -> bool:
    at: int | None = tenant
    for _step in range(len(known)):  # a circle, made by hand in the database, has no end and is nobody's
        if at is None:
            return True
        at, is_active = known[at]
        if not is_active:
            return False
    return at is None


def _seen_from(user_id: int, granted: Mapping[int, int]) -> Viewpoint:
    """The viewpoint of somebody with these ranks in these tenants."""
    places = _tree_below(granted)
    ranks: dict[int, int] = {}
    depths: dict[int, int] = {}
    for tenant in places:
        way = [tenant]
        while (parent := places[way[-1]].parent_id) in places and parent not in ranks and parent not in way:
            way.append(parent)
        for each in reversed(way):
            above = places[each].parent_id
            inherited = ranks[above] if above is not None and above in ranks else 0
            ranks[each] = max(granted.get(each, 0), inherited)
            depths[each] = depths[above] + 1 if above is not None and above in depths else 0
    administered = frozenset(tenant for tenant, rank in ranks.items() if rank >= _ADMIN)
    return Viewpoint(
        user_id=user_id,
        tenants=frozenset(places),
        managed=frozenset(tenant for tenant, rank in ranks.items() if rank >= _MEMBER),
        administered=administered,
        governed=frozenset(pk for pk, place in places.items() if place.parent_id in administered),
        naming_channels=frozenset(pk for pk, place in places.items() if place.can_see_channels),
        names={pk: place.name for pk, place in places.items()},
        depths=depths,
    )


def _tree_below(roots: Iterable[int]) -> dict[int, Tenant]:
    """The tenants and all below them, by id, with their name, parent and can_see_channels."""
    wanted = Tenant.objects.only("pk", "name", "parent_id", "can_see_channels").order_by("name")
    level = list(wanted.filter(pk__in=list(roots)))
    places: dict[int, Tenant] = {}
    while level:
        places.update({tenant.pk: tenant for tenant in level})
        below = wanted.filter(parent_id__in=[tenant.pk for tenant in level])
        level = [tenant for tenant in below if tenant.pk not in places]
    return places
