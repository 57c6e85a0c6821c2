"""Hot path. The pools of groups: their explicit members, resolved anew where a change concerns them, and what they select."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from channels.records import Candidate
from routing.candidates import Candidates
from routing.joining import OWN_NAME
from routing.pools import Pool
from routing.relations import MEMBERS, OFFERINGS, Relations
from routing.rows import GroupRow, MemberRow


@dataclass(slots=True)
class _Known:
    """A group's pool, for a state of the table. stamps: of the names that its members name."""

    group: GroupRow
    version: int
    places: int
    names: tuple[str, ...]
    stamps: tuple[int | None, ...]
    pool: Pool


class Grouping:
    """The pools of groups. rows, provider_names and channel_names are the table's own."""

    def __init__(
        self,
        rows: Mapping[str, Mapping[int, Any]],
        relations: Relations,
        everything: Candidates,
        provider_names: Mapping[str, int],
        channel_names: Mapping[str, int],
    ) -> None:
        self._rows = rows
        self._relations = relations
        self._all = everything
        self._provider_names = provider_names
        self._channel_names = channel_names
        # Counts the changes of members and of the names of providers and channels.
        self._places = 0
        self._known: dict[int, _Known] = {}

    def note(self, label: str, ref: int, old: Any, new: Any) -> None:
        """A row has changed."""
        match label:
            case "routing.modelgroup":
                if new is None:
                    self._known.pop(ref, None)
            case "routing.groupmember":
                self._places += 1
            case "providers.provider" | "channels.channel":
                self._places += old is None or new is None or old.name != new.name

    def pool_of(self, group: GroupRow, version: int) -> Pool:
        """The group's pool at a version of the table."""
        known = self._known.get(group.ref)
        if known is not None and known.group is group:
            if known.version == version:
                return known.pool
            stamps = tuple(map(self._all.name_stamps.get, known.names))
            if known.places == self._places and known.stamps == stamps:
                # Nobody among the members has changed; what is selected may be more or less than it was.
                known.version = version
                if group.selects:
                    known.pool = self._pool(group, known.pool.named)
                return known.pool
        members = [self._rows["routing.groupmember"][ref] for ref in self._relations.of(MEMBERS, group.ref)]
        members = sorted((m for m in members if m.is_active), key=lambda m: (m.position, m.ref))
        named: dict[int, Candidate] = {}
        for member in members:
            for candidate in self._candidates_of(member):
                named.setdefault(candidate.ref, candidate)
        names = tuple({name for member in members for name in (member.model, OWN_NAME + member.model)})
        stamps = tuple(map(self._all.name_stamps.get, names))
        pool = self._pool(group, named)
        self._known[group.ref] = _Known(group, version, self._places, names, stamps, pool)
        return pool

    def _pool(self, group: GroupRow, named: Mapping[int, Candidate]) -> Pool:
        if not group.selects:
            return Pool(named)
        return Pool(named, self._all.selections.of_group(group), self._all)

    def _candidates_of(self, member: MemberRow) -> Iterator[Candidate]:
        channel, provider = member.channel, member.provider
        if member.waiting_for:
            provider = self._provider_names.get(member.waiting_for)
            channel = None if provider is not None else self._channel_names.get(member.waiting_for)
        if channel is not None:
            found = self._of_channel(channel, member.model)
        else:
            row = self._rows["providers.provider"].get(provider) if provider is not None else None
            found = self._all.of_provider(row.name, member.model) if row is not None else []
        for candidate in found:
            yield replace(
                candidate,
                priority=member.priority,
                weight=member.weight,
                position=member.position,
                daily_limit=member.daily_limit,
            )

    def _of_channel(self, channel: int, model: str) -> list[Candidate]:
        refs = sorted(self._relations.of(OFFERINGS, channel))
        offered = [self._all.by_ref[ref] for ref in refs if ref in self._all.by_ref]
        return [c for c in offered if model in c.names] or [c for c in offered if OWN_NAME + model in c.names]
