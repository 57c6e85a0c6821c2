"""Which members' daily limits a process has to watch."""

from routing.sharing import limited_members
from tests.routing import tables as t


def test_limited_members_are_those_of_groups_whatever_the_name() -> None:
    table = t.table_of(
        [
            ("providers.provider", t.provider(1)),
            ("providers.providermodel", t.model(1, 1)),
            ("channels.channel", t.channel(1, 1)),
            ("channels.channel", t.channel(2, 1)),
            ("channels.offering", t.offering(1, 1, 1, name="m")),
            ("channels.offering", t.offering(2, 2, 1, name="m")),
            ("routing.modelgroup", t.group(1)),
            ("routing.groupmember", t.member(1, 1, channel=1, model="m", daily_limit=7)),
            ("routing.groupmember", t.member(2, 1, channel=2, model="m")),
        ]
    )

    assert [(c.ref, c.daily_limit) for c in limited_members(table)] == [(1, 7)]
