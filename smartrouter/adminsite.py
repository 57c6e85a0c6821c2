"""Worker side. The admin site: who may enter it, and what of it is there for whom.

Beside the smartrouter.admin package and not in it: the site is made when the first admin class registers itself, and
importing the package at that moment would register everything on a second site. What is needed of it is imported
where it is used.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, URLResolver
from django.utils.translation import gettext_lazy as _
from unfold.forms import AuthenticationForm
from unfold.sites import UnfoldAdminSite

from smartrouter.languages.scripts import ScriptCatalog


class EntranceForm(AuthenticationForm):
    """The sign-in form, which also says why somebody with a right password may not enter."""

    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": _("No user has this name and this password. Capital and small letters make a difference."),
    }

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        if not may_enter(user):
            raise ValidationError(
                _(
                    "Your account belongs to no active tenant. Ask an administrator of the router or of a tenant to add it."
                ),
                code="no_tenant",
            )


class SmartRouterAdminSite(UnfoldAdminSite):
    """The admin site: all of it for operators (superusers), for others their tenants' tree (smartrouter.admin.tenancy)."""

    site_title = _("SmartRouter")
    site_header = _("SmartRouter")
    index_title = _("Overview")
    login_form = EntranceForm

    def has_permission(self, request: HttpRequest) -> bool:
        from smartrouter.admin.tenancy import viewpoint_of

        return viewpoint_of(request).may_enter

    def admin_view(self, view: Callable[..., HttpResponseBase], cacheable: bool = False) -> Callable[..., Any]:
        """The view behind the gate that knows what is open to whom."""

        @wraps(view)
        def gated(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            from smartrouter.admin.tenancy_gate import pass_gate

            return pass_gate(request, view, args, kwargs)

        guarded: Callable[..., Any] = super().admin_view(gated, cacheable)
        return guarded

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """The models that have a page for the user."""
        from smartrouter.admin.tenancy import viewpoint_of
        from smartrouter.admin.tenancy_pages import TreeAdmin

        apps: list[Any] = super().get_app_list(request, app_label)
        if viewpoint_of(request).is_operator:
            return apps
        for app in apps:
            app["models"] = [each for each in app["models"] if isinstance(self._registry[each["model"]], TreeAdmin)]
        return [app for app in apps if app["models"]]

    def autocomplete_view(self, request: HttpRequest) -> HttpResponseBase:
        from smartrouter.admin.tenancy_gate import ChoicesView

        return ChoicesView.as_view(admin_site=self)(request)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        from smartrouter.admin.why import pages

        urls: list[URLPattern | URLResolver] = super().get_urls()
        return [*pages(), *urls]

    def i18n_javascript(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        return ScriptCatalog.as_view(packages=["django.contrib.admin"])(request)


def may_enter(user: object) -> bool:
    """Whether the user may use the admin."""
    from smartrouter.admin.tenancy import viewpoint_from

    return viewpoint_from(user).may_enter
