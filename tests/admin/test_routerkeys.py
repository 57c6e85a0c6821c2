"""Router keys: made by the admin, shown once, stored as a digest."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.urls import reverse

from smartrouter.accounts.keys import digest_of
from smartrouter.accounts.models import RouterKey
from tests.admin.browser import form_of
from tests.admin.conftest import World

ADD = reverse("admin:accounts_routerkey_add")
LIST = reverse("admin:accounts_routerkey_changelist")
KEY = re.compile(r"rk_[A-Za-z0-9_-]{43}")


def add_key(root: Client, world: World, **values: Any) -> Any:
    data = {**form_of(root.get(ADD), "routerkey_form"), "tenant": str(world.tenant.pk), "name": "laptop", **values}
    return root.post(ADD, data)


def test_a_new_key_is_shown_in_full_exactly_once(world: World, root: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        answer = add_key(root, world, allowed_models="auto:*, openai/gpt-4o-mini\ngpt-4o")

    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    token = KEY.search(answer.content.decode()).group()  # type: ignore[union-attr]
    key = RouterKey.objects.get(name="laptop")
    assert key.digest == digest_of(token)
    assert key.hint == f"{token[:6]}…{token[-4:]}"
    assert key.allowed_models == ["auto:*", "openai/gpt-4o-mini", "gpt-4o"]
    for what in ("change", "history", "delete"):
        page = root.get(reverse(f"admin:accounts_routerkey_{what}", args=[key.pk])).content.decode()
        assert token not in page
        assert key.digest not in page
    for address in (ADD, LIST, reverse("admin:accounts_tenant_change", args=[world.tenant.pk]), reverse("admin:index")):
        page = root.get(address).content.decode()
        assert token not in page
        assert key.digest not in page
    assert token not in caplog.text
    assert token not in str(answer.cookies)
    assert not [s for s in Session.objects.all() if token in str(s.get_decoded())]
    assert not [entry for entry in LogEntry.objects.all() if token in entry.change_message + entry.object_repr]


@pytest.mark.django_db(transaction=True)
def test_the_key_is_not_in_the_database(world: World, root: Client) -> None:
    token = KEY.search(add_key(root, world).content.decode()).group()  # type: ignore[union-attr]

    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            assert token not in str(cursor.fetchall()), table
    folder = Path(settings.DATA_DIR)
    assert not [f for f in folder.rglob("*") if f.is_file() and token.encode() in f.read_bytes()]


def test_sending_the_form_again_makes_no_second_key(world: World, root: Client) -> None:
    add_key(root, world)

    answer = add_key(root, world)

    assert not KEY.search(answer.content.decode())
    assert RouterKey.objects.filter(name="laptop").count() == 1


def test_changing_a_key_leaves_its_digest_alone(world: World, root: Client) -> None:
    address = reverse("admin:accounts_routerkey_change", args=[world.router_key.pk])
    before = world.router_key.digest

    answer = root.post(
        address, {**form_of(root.get(address), "routerkey_form"), "allowed_models": "", "name": "renamed"}
    )

    world.router_key.refresh_from_db()
    assert answer.status_code == 302
    assert (world.router_key.name, world.router_key.digest, world.router_key.allowed_models) == ("renamed", before, [])


def test_a_star_in_the_middle_of_an_allowed_model_is_refused(world: World, root: Client) -> None:
    answer = add_key(root, world, allowed_models="gpt-*-mini")

    assert "a * may stand only at the end" in answer.content.decode()
    assert not RouterKey.objects.filter(name="laptop").exists()


def test_revoking_keys_switches_them_off(world: World, root: Client) -> None:
    answer = root.post(LIST, {"action": "revoke", "_selected_action": [world.router_key.pk]}, follow=True)

    world.router_key.refresh_from_db()
    assert not world.router_key.is_active
    text = answer.content.decode()
    assert "1 router key was revoked." in text
    assert re.search(r">\s*revoked\s*<", text)


def test_a_tenant_with_keys_is_not_deleted_and_the_page_says_why(world: World, root: Client) -> None:
    address = reverse("admin:accounts_tenant_delete", args=[world.tenant.pk])

    page = root.get(address).content.decode()
    root.post(address, {"post": "yes"})

    assert "would require deleting the following protected related objects" in page
    assert "acme/ci" in page
    world.tenant.refresh_from_db()
