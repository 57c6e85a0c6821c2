"""The language switch: on every page, remembered, and back to where one was."""

import re

import pytest
from django.conf import settings
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from smartrouter.accounts.models import User
from tests.admin.browser import form_of
from tests.admin.conftest import World
from tests.languages.visible import read_page

PASSWORD = "correct-horse-battery-9"
CHINESE = {"accept-language": "zh-CN,zh;q=0.9,en;q=0.5"}


def language_of(page: object) -> str:
    return read_page(page.content.decode())[0]  # type: ignore[attr-defined]


def switch_on(page: object) -> dict[str, str]:
    """What the page's switch would send."""
    text = page.content.decode()  # type: ignore[attr-defined]
    form = re.search(rf'<form action="{reverse("set_language")}".*?</form>', text, re.S)
    assert form, "no switch on the page"
    buttons = re.findall(r'<button type="submit" name="language" value="([^"]+)" lang="\1"', form.group())
    assert len(buttons) == 1
    found = re.search(r'name="next" value="([^"]*)"', form.group())
    assert found
    return {"language": buttons[0], "next": found.group(1).replace("&amp;", "&")}


@pytest.mark.parametrize("wish", [{}, CHINESE])
def test_a_switch_stands_on_every_page_and_leads_back_to_it(world: World, root: Client, wish: dict[str, str]) -> None:
    addresses = [
        reverse("admin:index"),
        reverse("admin:password_change"),
        "/admin/channels/channel/?is_active__exact=1",
    ]
    addresses += [reverse(f"admin:{m._meta.app_label}_{m._meta.model_name}_changelist") for m in admin.site._registry]
    addresses += [reverse("admin:channels_channel_change", args=[world.channel.pk])]

    for address in addresses:
        sent = switch_on(root.get(address, headers=wish))

        assert sent == {"language": "en" if wish else "zh-hans", "next": address}


def test_each_language_is_named_in_itself(root: Client) -> None:
    english = root.get(reverse("admin:index")).content.decode()
    chinese = root.get(reverse("admin:index"), headers=CHINESE).content.decode()

    assert re.search(r'lang="zh-hans"[^>]*aria-label="简体中文".*?简体中文</span>\s*</button>', english, re.S)
    assert re.search(r'lang="en"[^>]*aria-label="English".*?English</span>\s*</button>', chinese, re.S)


def test_the_choice_outlasts_signing_in_and_out_and_goes_before_the_browsers_wish(client: Client, db: None) -> None:
    User.objects.create_superuser("root", "root@example.com", PASSWORD)
    login = reverse("admin:login") + "?next=/admin/channels/channel/"
    assert language_of(client.get(login)) == "en"

    back = client.post(reverse("set_language"), switch_on(client.get(login)))

    assert back.headers["Location"] == login
    cookie = back.cookies[settings.LANGUAGE_COOKIE_NAME]
    assert (cookie.value, cookie["max-age"], cookie["samesite"]) == ("zh-hans", 365 * 24 * 3600, "Lax")
    assert language_of(client.get(login)) == "zh-hans"
    client.post(login, {"username": "root", "password": PASSWORD})
    assert language_of(client.get(reverse("admin:index"), headers={"accept-language": "en"})) == "zh-hans"
    goodbye = client.post(reverse("admin:logout"))
    assert language_of(goodbye) == "zh-hans"
    assert switch_on(goodbye)["next"] == reverse("admin:index")
    assert language_of(client.get(login)) == "zh-hans"
    client.post(reverse("set_language"), switch_on(client.get(login)))
    assert language_of(client.get(login, headers=CHINESE)) == "en"


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/x"])
def test_the_switch_leads_to_no_other_host(client: Client, elsewhere: str) -> None:
    answer = client.post(reverse("set_language"), {"language": "zh-hans", "next": elsewhere})

    assert answer.headers["Location"] == "/"


def test_the_page_that_shows_a_key_once_has_no_switch(world: World, root: Client) -> None:
    address = reverse("admin:accounts_routerkey_add")

    page = root.post(
        address, {**form_of(root.get(address), "routerkey_form"), "tenant": world.tenant.pk, "name": "new"}
    )

    assert b'id="router-key"' in page.content
    assert reverse("set_language").encode() not in page.content


def test_the_wish_of_a_browser_decides_without_a_cookie(client: Client, db: None) -> None:
    wishes = {"zh": "zh-hans", "zh-CN": "zh-hans", "zh-TW,zh;q=0.8": "zh-hans", "fr": "en", "en-GB,zh;q=0.5": "en"}

    found = {wish: language_of(client.get("/admin/login/", headers={"accept-language": wish})) for wish in wishes}

    assert found == wishes


def test_dates_and_the_words_of_scripts_are_chinese(world: World, root: Client) -> None:
    words = root.get(reverse("admin:jsi18n"), headers=CHINESE).content.decode()
    form = root.get(reverse("admin:channels_channel_change", args=[world.channel.pk]), headers=CHINESE).content.decode()

    assert r"\u4eca\u5929" in words or "今天" in words
    assert reverse("admin:jsi18n") in form
