"""What forms and their scripts do alike in both languages: no moment changes by being saved, no calendar is English."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from providers.models import ExchangeRate
from tests.admin.browser import form_of

LANGUAGES = ["en", "zh-hans"]
MOMENT = datetime(2026, 5, 4, 12, 34, 56, tzinfo=UTC)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_form_that_is_saved_untouched_keeps_the_seconds(root: Client, language: str) -> None:
    root.cookies[settings.LANGUAGE_COOKIE_NAME] = language
    rate = ExchangeRate.objects.create(currency="CNY", usd=Decimal("0.14"), effective_from=MOMENT)
    page = reverse("admin:providers_exchangerate_change", args=[rate.pk])

    saved = root.post(page, form_of(root.get(page), "exchangerate_form"))

    assert saved.status_code == 302
    rate.refresh_from_db()
    assert rate.effective_from == MOMENT


def test_the_calendar_and_the_clock_of_a_chinese_form_are_chinese(root: Client) -> None:
    root.cookies[settings.LANGUAGE_COOKIE_NAME] = "zh-hans"

    script = root.get(reverse("admin:jsi18n")).content.decode()

    catalog, _end = json.JSONDecoder().raw_decode(script.partition("newcatalog = ")[2])
    days = [text for name, text in catalog.items() if name.startswith("one letter ")]
    assert sorted(days) == sorted("日一二三四五六")
    assert all(re.search("[\u4e00-\u9fff]", catalog[name]) for name in ("Choose a Date", "6 a.m.", "Today"))
