"""Worker side. The admin site: who may enter it.

Beside the smartrouter.admin package and not in it: the site is made when the first admin class registers itself, and
importing the package at that moment would register everything on a second site.
"""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, URLResolver
from django.utils.translation import gettext_lazy as _
from unfold.forms import AuthenticationForm
from unfold.sites import UnfoldAdminSite

from smartrouter.languages.scripts import ScriptCatalog


class AdministratorLoginForm(AuthenticationForm):
    """The sign-in form, which also says why somebody with a right password may not enter."""

    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": _("No user has this name and this password. Capital and small letters make a difference."),
    }

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        if not may_enter(user):
            raise ValidationError(
                _("Only administrators can sign in here. Ask one to give your account superuser status."),
                code="not_administrator",
            )


class SmartRouterAdminSite(UnfoldAdminSite):
    """The admin site, for superusers only."""

    site_title = _("SmartRouter")
    site_header = _("SmartRouter")
    index_title = _("Overview")
    login_form = AdministratorLoginForm

    def has_permission(self, request: HttpRequest) -> bool:
        return may_enter(request.user)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        # Imported here: the pages need this site, which is being made when this module is read.
        from smartrouter.admin.why import pages

        urls: list[URLPattern | URLResolver] = super().get_urls()
        return [*pages(), *urls]

    def i18n_javascript(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        return ScriptCatalog.as_view(packages=["django.contrib.admin"])(request)


def may_enter(user: object) -> bool:
    """Whether the user may use the admin."""
    return bool(getattr(user, "is_active", False) and getattr(user, "is_superuser", False))
