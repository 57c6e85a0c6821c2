"""The pages for errors, in the reader's language."""

import pytest
from django.conf import settings
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import URLPattern, URLResolver, path

from smartrouter.urls import urlpatterns as product
from tests.languages.test_pages import check, expect_none


def fail(request: HttpRequest, how: str) -> HttpResponse:
    raise {"500": RuntimeError, "403": PermissionDenied, "400": SuspiciousOperation}[how](how)


urlpatterns: list[URLPattern | URLResolver] = [*product, path("fail/<how>", fail)]


@pytest.mark.parametrize("what", ["400", "403", "404", "500"])
@override_settings(ROOT_URLCONF="tests.languages.test_errors")
def test_an_error_page_is_chinese(what: str) -> None:
    browser = Client(raise_request_exception=False, headers={"accept-language": "zh-CN"})

    page = browser.get("/nowhere" if what == "404" else f"/fail/{what}")

    assert page.status_code == int(what)
    assert 'lang="zh-hans"' in page.content.decode()
    expect_none(check(page, what, {int(what)}))


def test_a_form_without_its_cookie_is_refused_in_chinese() -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.cookies[settings.LANGUAGE_COOKIE_NAME] = "zh-hans"

    page = browser.post("/admin/login/", {"username": "x"})

    assert page.status_code == 403
    expect_none(check(page, "csrf"))
