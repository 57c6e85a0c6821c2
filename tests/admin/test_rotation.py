"""Rotating a router key: the new one is shown once, the old one stays valid for as long as was said."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from smartrouter.accounts.keys import digest_of
from smartrouter.accounts.models import RouterKey, User
from tests.admin.browser import form_of
from tests.admin.conftest import ROUTER_KEY, World

KEY = re.compile(r"rk_[A-Za-z0-9_-]{43}")


def address(key: RouterKey, what: str) -> str:
    return reverse(f"admin:accounts_routerkey_{what}", args=[key.pk])


def rotate(root: Client, key: RouterKey, **values: Any) -> Any:
    page = root.get(address(key, "rotate"))
    return root.post(address(key, "rotate"), {**form_of(page, "rotation_form"), **values})


def token_on(page: Any) -> str:
    found = KEY.search(page.content.decode())
    assert found, page.content.decode()
    return found.group()


def test_the_new_key_is_shown_once_and_the_old_one_stays_for_a_day(
    world: World, root: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        answer = rotate(root, world.router_key)

    token = token_on(answer)
    key = RouterKey.objects.get(pk=world.router_key.pk)
    assert "no-store" in answer["Cache-Control"]
    assert (key.digest, key.hint) == (digest_of(token), f"{token[:6]}…{token[-4:]}")
    assert key.previous_digest == digest_of(ROUTER_KEY)
    assert key.previous_until is not None
    assert timedelta(hours=23) < key.previous_until - now() <= timedelta(hours=24)
    for what in ("change", "history", "rotate"):
        page = root.get(address(key, what)).content.decode()
        for secret in (token, key.digest, str(key.previous_digest)):
            assert secret not in page
    assert "is accepted until" in root.get(address(key, "change")).content.decode()
    assert LogEntry.objects.get().get_change_message() == "Changed key and previous key until."
    assert token not in caplog.text + str(answer.cookies)
    assert not [entry for entry in LogEntry.objects.all() if token in entry.change_message + entry.object_repr]
    assert not [session for session in Session.objects.all() if token in str(session.get_decoded())]


@pytest.mark.parametrize(
    ("values", "hours"),
    [
        ({"overlap": "0"}, 0),
        ({"overlap": "1"}, 1),
        ({"overlap": "168"}, 168),
        ({"overlap": "other", "hours": "36"}, 36),
    ],
)
def test_the_overlap_is_as_long_as_was_chosen(values: dict[str, str], hours: int, world: World, root: Client) -> None:
    before = now()

    rotate(root, world.router_key, **values)

    world.router_key.refresh_from_db()
    until = world.router_key.previous_until
    assert until is not None
    assert before + timedelta(hours=hours) <= until <= now() + timedelta(hours=hours)
    text = root.get(address(world.router_key, "change")).content.decode()
    assert ("is accepted until" in text) is (hours > 0)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"overlap": "other"}, "Give the number of hours."),
        ({"overlap": "other", "hours": "0"}, "greater than or equal to 1"),
        ({"overlap": "other", "hours": "9000"}, "less than or equal to 8760"),
        ({"overlap": "5"}, "Select a valid choice."),
    ],
)
def test_a_wrong_overlap_changes_nothing(values: dict[str, str], sentence: str, world: World, root: Client) -> None:
    answer = rotate(root, world.router_key, **values)

    assert sentence in answer.content.decode()
    world.router_key.refresh_from_db()
    assert world.router_key.digest == digest_of(ROUTER_KEY)


def test_only_the_last_old_key_stays_and_the_page_says_so(world: World, root: Client) -> None:
    first = token_on(rotate(root, world.router_key))

    page = root.get(address(world.router_key, "rotate")).content.decode()
    rotate(root, world.router_key)

    assert "only the last old key stays" in page
    world.router_key.refresh_from_db()
    assert world.router_key.previous_digest == digest_of(first)


def test_a_form_that_is_sent_twice_rotates_once(world: World, root: Client) -> None:
    data = form_of(root.get(address(world.router_key, "rotate")), "rotation_form")
    first = token_on(root.post(address(world.router_key, "rotate"), data))

    again = root.post(address(world.router_key, "rotate"), data, follow=True)

    text = again.content.decode()
    assert "was rotated already" in text
    assert not KEY.search(text)
    world.router_key.refresh_from_db()
    assert world.router_key.digest == digest_of(first)
    assert world.router_key.previous_digest == digest_of(ROUTER_KEY)


def test_looking_at_the_pages_changes_nothing(world: World, root: Client) -> None:
    rotate(root, world.router_key)
    before = RouterKey.objects.filter(pk=world.router_key.pk).values().get()

    assert root.get(address(world.router_key, "rotate")).status_code == 200
    assert root.get(address(world.router_key, "end_previous")).status_code == 405

    assert RouterKey.objects.filter(pk=world.router_key.pk).values().get() == before


def test_the_previous_key_is_ended_at_once(world: World, root: Client) -> None:
    rotate(root, world.router_key)
    data = form_of(root.get(address(world.router_key, "change")), "end_previous_form")

    answer = root.post(address(world.router_key, "end_previous"), data, follow=True)

    world.router_key.refresh_from_db()
    assert world.router_key.previous_until is not None
    assert world.router_key.previous_until <= now()
    text = answer.content.decode()
    assert "The previous key is not accepted any more." in text
    assert "end_previous_form" not in text
    assert (
        "There is no previous key"
        in root.post(address(world.router_key, "end_previous"), data, follow=True).content.decode()
    )


def test_a_revoked_key_is_not_rotated(world: World, root: Client) -> None:
    RouterKey.objects.update(is_active=False)

    answer = root.post(address(world.router_key, "rotate"), {"overlap": "24"}, follow=True)

    assert "enable it, then rotate it" in answer.content.decode()
    world.router_key.refresh_from_db()
    assert world.router_key.digest == digest_of(ROUTER_KEY)


def test_a_key_from_the_environment_is_no_longer_from_there(world: World, root: Client) -> None:
    RouterKey.objects.update(env_name="ACME_KEY")

    page = root.get(address(world.router_key, "rotate")).content.decode()
    rotate(root, world.router_key)

    assert "ACME_KEY" in page
    world.router_key.refresh_from_db()
    assert world.router_key.env_name == ""


@pytest.mark.parametrize("what", ["rotate", "end_previous"])
def test_a_post_without_the_forms_token_is_refused(what: str, world: World) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.create_superuser("root2"))

    answer = browser.post(address(world.router_key, what), {"overlap": "0"})

    assert answer.status_code == 403
    world.router_key.refresh_from_db()
    assert world.router_key.digest == digest_of(ROUTER_KEY)


@pytest.mark.parametrize("what", ["rotate", "end_previous"])
def test_nobody_else_rotates(what: str, world: World, outsider: Client) -> None:
    for answer in (outsider.get(address(world.router_key, what)), outsider.post(address(world.router_key, what))):
        assert answer.status_code == 302
        assert answer["Location"].startswith(reverse("admin:login"))
    world.router_key.refresh_from_db()
    assert world.router_key.digest == digest_of(ROUTER_KEY)
    assert world.router_key.previous_digest is None


def test_a_key_that_is_not_there_is_not_found(world: World, root: Client) -> None:
    assert root.get(reverse("admin:accounts_routerkey_rotate", args=[4711])).status_code == 404
