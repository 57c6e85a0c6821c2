"""Worker side. A channel's sealed values in forms: written, recognised by a few characters, never shown."""

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import TabularInline

from channels.models import Channel, ChannelKey, validate_key_text
from smartrouter.admin.fields import SecretField
from smartrouter.admin.labels import label
from smartrouter.admin.tenancy import Access, Viewpoint
from smartrouter.admin.tenancy_pages import TreeInline
from smartrouter.lib.sealing import SealBroken, Secret


def broken_label() -> SafeString:
    """The warning for a sealed value that none of ENCRYPTION_KEYS opens."""
    return label(
        _("cannot be opened"),
        "danger",
        _("It was sealed with other encryption keys or for another row. Enter it again, or restore ENCRYPTION_KEYS."),
    )


def is_broken(key: ChannelKey) -> bool:
    """Whether the key cannot be unsealed."""
    try:
        key.open_secret()
    except SealBroken:
        return True
    return False


def show_key(key: ChannelKey) -> SafeString | str:
    """What may be seen of a stored key: its last four characters, where it came from, whether it can be opened."""
    if not key.pk:
        return "-"
    tail = f"…{key.last_four}" if key.last_four else _("set")
    source = _("from %s") % key.env_name if key.env_name else ""
    warning = broken_label() if is_broken(key) else ""
    return format_html('<span class="whitespace-nowrap">{} {} {}</span>', tail, source, warning)


def show_proxy(channel: Channel) -> SafeString | str:
    """The proxy's host and port, without its login."""
    try:
        secret = channel.open_sealed("proxy_url")
    except SealBroken:
        return broken_label()
    if not secret:
        return _("Not set.")
    try:
        parts = urlsplit(str(secret.reveal()))
        address = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
    except ValueError:
        return _("Set.")
    return format_html(_("Now: {} (a login is set)") if parts.username else _("Now: {}"), address)


def show_headers(channel: Channel) -> SafeString | str:
    """The names of the extra headers."""
    try:
        secret = channel.open_sealed("extra_headers")
    except SealBroken:
        return broken_label()
    if not secret:
        return _("Not set.")
    return format_html(_("Now: {}"), ", ".join(secret.reveal()))


class ChannelKeyForm(forms.ModelForm):
    """A key of a channel; an empty input keeps the stored one."""

    new_key = SecretField(label=gettext_lazy("New key"))

    class Meta:
        model = ChannelKey
        fields = ["name", "is_active"]

    def clean_new_key(self) -> str:
        text = str(self.cleaned_data["new_key"])
        if text:
            validate_key_text(text)
        elif self.instance.pk is None:
            raise ValidationError(_("Enter the key."), code="required")
        return text

    def save(self, commit: bool = True) -> Any:
        text = self.cleaned_data.get("new_key")
        if text:
            self.instance.set_secret(text)
            self.instance.env_name = ""
        return super().save(commit)


class ChannelKeyInline(TreeInline, TabularInline):
    """A channel's keys."""

    model = ChannelKey
    form = ChannelKeyForm
    fields = ["name", "stored", "new_key", "is_active"]
    readonly_fields = ["stored"]
    extra = 0
    hide_title = True
    is_on_add_page_of_tree = True

    def access_of(self, view: Viewpoint, parent: Any) -> Access:
        """Only the admins of the channel's owner see its keys."""
        is_theirs = bool(view.administered) if parent is None else parent.owner_id in view.administered
        return Access.CHANGE if is_theirs else Access.NONE

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return 0 if obj else 1

    @admin.display(description=gettext_lazy("stored key"))
    def stored(self, key: ChannelKey) -> SafeString | str:
        return show_key(key)


def apply_secret(channel: Channel, field: str, value: Any, *, is_cleared: bool) -> None:
    """Set the channel's sealed field to a new value, or clear it, or leave it."""
    if value:
        setattr(channel, field, Secret(value))
    elif is_cleared:
        setattr(channel, field, None)
