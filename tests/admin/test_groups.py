"""Model groups: which members take part now, and their order."""

import re
from typing import Any

from django.test import Client
from django.urls import reverse

from channels.models import Channel, Offering
from providers.models import Provider, ProviderModel
from routing.members import offerings_by_member
from routing.models import GroupMember, ModelGroup
from tests.admin.browser import form_of
from tests.admin.conftest import World


def member(world: World, **values: Any) -> GroupMember:
    return GroupMember.objects.create(group=world.group, model="mini", **values)


def is_ready(found: GroupMember) -> bool:
    return bool(offerings_by_member([found])[found.pk])


def test_a_member_matches_by_name_alias_or_the_providers_own_name(world: World) -> None:
    Offering.objects.filter(pk=world.offering.pk).update(name="public", aliases=["mini"])

    for model, expected in (("public", True), ("mini", True), ("gpt-4o-mini", True), ("gpt-4o", False)):
        for target in ({"channel": world.channel}, {"provider": world.provider}):
            found = GroupMember.objects.create(group=world.group, model=model, **target)
            assert is_ready(found) is expected, (model, target)


def test_a_member_on_anything_inactive_waits(world: World) -> None:
    on_channel, on_provider = member(world, channel=world.channel), member(world, provider=world.provider)

    for row in (world.offering, world.channel, world.model, world.provider):
        type(row)._default_manager.filter(pk=row.pk).update(is_active=False)
        assert not is_ready(on_channel), row
        assert not is_ready(on_provider), row
        type(row)._default_manager.filter(pk=row.pk).update(is_active=True)
        assert is_ready(on_channel), row


def test_a_member_that_waits_for_a_name_is_ready_once_it_exists(world: World) -> None:
    waiting = member(world, waiting_for="groq")
    assert not is_ready(waiting)

    groq = Provider.objects.create(name="groq", base_url="https://api.groq.com/openai/v1")
    assert not is_ready(waiting)

    model = ProviderModel.objects.create(provider=groq, name="mini")
    Offering.objects.create(channel=Channel.objects.create(name="groq-main", provider=groq), provider_model=model)
    assert is_ready(waiting)


def test_all_members_of_a_group_take_three_queries(world: World, django_assert_num_queries: Any) -> None:
    members = [member(world, channel=world.channel) for _ in range(20)] + [member(world, waiting_for="groq")]

    with django_assert_num_queries(3):
        offerings_by_member(members)


def test_the_page_shows_each_members_state(world: World, root: Client) -> None:
    member(world, waiting_for="groq", position=1)

    text = root.get(reverse("admin:routing_modelgroup_change", args=[world.group.pk])).content.decode()

    assert len(re.findall(r">\s*ready\s*<", text)) == 1
    assert len(re.findall(r">\s*waiting\s*<", text)) == 1
    assert "groq is not configured yet." in text


def test_a_new_member_goes_last_and_a_moved_one_keeps_its_place(world: World, root: Client) -> None:
    address = reverse("admin:routing_modelgroup_change", args=[world.group.pk])
    member(world, provider=world.provider, position=1)
    rows = {
        "members-TOTAL_FORMS": "3",
        "members-0-position": "1",
        "members-1-position": "0",
        "members-2-id": "",
        "members-2-group": str(world.group.pk),
        "members-2-waiting_for": "groq",
        "members-2-model": "llama",
        "members-2-position": "0",
        "members-2-priority": "1",
        "members-2-weight": "1",
        "members-2-is_active": "on",
    }

    answer = root.post(address, form_of(root.get(address), "modelgroup_form") | rows)

    assert answer.status_code == 302
    assert [m.target_name for m in world.group.members.all()] == ["openai", "openai-main", "groq"]
    assert [m.position for m in world.group.members.all()] == [0, 1, 2]


def test_a_member_with_two_targets_is_refused(world: World, root: Client) -> None:
    address = reverse("admin:routing_modelgroup_change", args=[world.group.pk])
    data = form_of(root.get(address), "modelgroup_form") | {"members-0-waiting_for": "groq"}

    answer = root.post(address, data)

    assert "Choose a channel, or a provider" in answer.content.decode()
    assert ModelGroup.objects.get(pk=world.group.pk).members.get().waiting_for == ""
