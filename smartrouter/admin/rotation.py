"""Worker side. Rotating a router key: a page that asks how long the old key stays valid, then shows the new one once."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.formats import date_format
from django.utils.timezone import localtime, now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminRadioSelectWidget

from smartrouter.accounts.models import RouterKey
from smartrouter.accounts.rotation import end_previous_key, has_previous_key, rotate_key
from smartrouter.admin.tenancy import viewpoint_of

OTHER = "other"
LONGEST_H = 24 * 365


def may_rotate(request: HttpRequest, key: RouterKey) -> bool:
    """Whether the person may give the key a new secret, and end the one before it: operators, admins of its tenant, and its
    owner while a member there."""
    view = viewpoint_of(request)
    if view.is_operator or key.tenant_id in view.administered:
        return True
    return key.tenant_id in view.managed and key.owner_id == view.user_id


def seal_of(key: RouterKey) -> str:
    """What tells whether the key is still the one that a page was made for; it tells nothing else."""
    return salted_hmac("smartrouter.admin.rotation", key.digest).hexdigest()


class RotationForm(forms.Form):
    """How long the old key stays valid."""

    overlap = forms.ChoiceField(
        label=gettext_lazy("The old key is accepted for"),
        choices=[
            ("0", gettext_lazy("no time: it ends now")),
            ("1", gettext_lazy("1 hour")),
            ("24", gettext_lazy("24 hours")),
            ("168", gettext_lazy("7 days")),
            (OTHER, gettext_lazy("as many hours as you give below")),
        ],
        initial="24",
        widget=UnfoldAdminRadioSelectWidget,
    )
    hours = forms.IntegerField(
        label=gettext_lazy("Hours"),
        required=False,
        min_value=1,
        max_value=LONGEST_H,
        widget=UnfoldAdminIntegerFieldWidget({"style": "max-width: 10rem"}),
    )
    seal = forms.CharField(widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("overlap") == OTHER and data.get("hours") is None and "hours" not in self.errors:
            self.add_error("hours", ValidationError(_("Give the number of hours."), code="required"))
        return data

    @property
    def until(self) -> datetime:
        """Until when the old key is accepted."""
        overlap = self.cleaned_data["overlap"]
        return now() + timedelta(hours=int(self.cleaned_data["hours"] if overlap == OTHER else overlap))


class RotatedAdmin(ModelAdmin):
    """The pages of a router key that rotate it and end the key before."""

    change_form_outer_before_template = "admin/accounts/routerkey/rotation_bar.html"

    def get_urls(self) -> list[URLPattern]:
        pages = [
            path("<path:object_id>/rotate/", self.admin_site.admin_view(self.rotate), name="accounts_routerkey_rotate"),
            path(
                "<path:object_id>/end-previous/",
                self.admin_site.admin_view(self.end_previous),
                name="accounts_routerkey_end_previous",
            ),
        ]
        return [*pages, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        key = self.get_object(request, object_id)
        context = {"may_rotate": key is not None and may_rotate(request, key), "previous": _previous(key)}
        page: HttpResponse = super().change_view(request, object_id, form_url, {**(extra_context or {}), **context})
        return page

    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The page that asks; for its form the page with the new key, which nothing keeps for a second look."""
        key = self._key_for(request, object_id)
        if not key.is_active:
            self.message_user(request, _("This router key is revoked: enable it, then rotate it."), messages.ERROR)
            return HttpResponseRedirect(_page_of(key))
        form = RotationForm(request.POST if request.method == "POST" else None, initial={"seal": seal_of(key)})
        if request.method != "POST" or not form.is_valid():
            return self._ask(request, key, form)
        if not constant_time_compare(form.cleaned_data["seal"], seal_of(key)):
            return self._say_rotated_meanwhile(request, key)
        token = rotate_key(key, key.digest, form.until)
        if token is None:
            return self._say_rotated_meanwhile(request, key)
        self.log_change(request, key, [{"changed": {"fields": ["key", "previous key until"]}}])
        context = {"key": key, "token": token.reveal(), "is_shown_once": True, "previous": _previous(key)}
        return self._page(request, "rotated.html", _("Router key rotated"), context)

    def end_previous(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """End the key before; then back to the page of the key."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        key = self._key_for(request, object_id)
        if end_previous_key(key):
            self.log_change(request, key, [{"changed": {"fields": ["previous key until"]}}])
            self.message_user(request, _("The previous key is not accepted any more."), messages.SUCCESS)
        else:
            self.message_user(request, _("There is no previous key that is accepted."), messages.INFO)
        return HttpResponseRedirect(_page_of(key))

    def _key_for(self, request: HttpRequest, object_id: str) -> RouterKey:
        """The key. Raises Http404 for one that the person does not see, PermissionDenied where he may not rotate it."""
        key: RouterKey | None = self.get_object(request, object_id)
        if key is None:
            raise Http404
        if not may_rotate(request, key):
            raise PermissionDenied
        return key

    def _ask(self, request: HttpRequest, key: RouterKey, form: RotationForm) -> HttpResponse:
        context = {"key": key, "form": form, "previous": _previous(key), "back_url": _page_of(key)}
        return self._page(request, "rotate.html", _("Rotate the router key %s") % key.name, context)

    def _say_rotated_meanwhile(self, request: HttpRequest, key: RouterKey) -> HttpResponse:
        text = _("The key was rotated already since this form was opened; nothing was changed now.")
        self.message_user(request, text, messages.WARNING)
        return HttpResponseRedirect(_page_of(key))

    def _page(self, request: HttpRequest, template: str, title: str, context: dict[str, Any]) -> HttpResponse:
        every = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "original": context["key"],
            "list_url": reverse("admin:accounts_routerkey_changelist"),
            "key_url": _page_of(context["key"]),
        }
        page = TemplateResponse(request, f"admin/accounts/routerkey/{template}", {**every, **context})
        page["Cache-Control"] = "no-store"
        return page


def _page_of(key: RouterKey) -> str:
    return reverse("admin:accounts_routerkey_change", args=[key.pk])


def _previous(key: RouterKey | None) -> str:
    """Until when the key before is accepted, as the reader's clock says it; empty where it is not."""
    if key is None or key.previous_until is None or not has_previous_key(key):
        return ""
    return date_format(localtime(key.previous_until), "Y-m-d H:i")
