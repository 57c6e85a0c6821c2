"""Worker side. The admin of the routing room: model groups and their ordered members."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.db.models import Field, Max, QuerySet
from django.forms.utils import ErrorList
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.forms import PaginationInlineFormSet

from routing.members import offerings_by_member
from routing.models import GroupMember, ModelGroup
from smartrouter.admin.base import SwitchActions
from smartrouter.admin.labels import hint, label

_WIDTHS = {
    "waiting_for": "8rem",
    "model": "11rem",
    "priority": "4rem",
    "weight": "4rem",
}


def show_state(member: GroupMember, offerings: list[Any]) -> SafeString | str:
    """Whether the member takes part now, and if not, what it waits for."""
    if not member.is_active:
        return label(_("off"))
    if offerings:
        text = _("ready") if len(offerings) == 1 else _("ready · %d") % len(offerings)
        return label(text, "success", ", ".join(str(offering.channel) for offering in offerings))
    if member.waiting_for:
        return label(_("waiting"), "warning", _("%s is not configured yet.") % member.waiting_for)
    return label(_("waiting"), "warning", _("No active channel of %s offers this model.") % member.target_name)


class MemberForm(forms.ModelForm):
    """A member of a group."""

    class Meta:
        model = GroupMember
        exclude: list[str] = []

    def non_field_errors(self) -> ErrorList:
        """Each error once: the model's clean and its constraint say the same."""
        found = dict.fromkeys(str(error) for error in super().non_field_errors())
        return self.error_class(list(found), error_class="nonfield", renderer=self.renderer)


class MemberFormSet(PaginationInlineFormSet):
    """A group's members in order; one that is new goes last."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offerings = offerings_by_member(self.get_queryset()) if self.instance.pk else {}
        for form in self.initial_forms:
            form.instance.offerings_now = offerings.get(form.instance.pk, [])

    def save_new(self, form: Any, commit: bool = True) -> Any:
        last = self.instance.members.aggregate(last=Max("position"))["last"] if self.instance.pk else None
        form.instance.position = 0 if last is None else last + 1
        return super().save_new(form, commit)


class MemberInline(TabularInline):
    model = GroupMember
    form = MemberForm
    formset = MemberFormSet
    fields = ["state", "channel", "provider", "waiting_for", "model", "priority", "weight", "is_active", "position"]
    readonly_fields = ["state"]
    autocomplete_fields = ["channel", "provider"]
    ordering_field = "position"
    hide_ordering_field = True
    hide_title = True
    template_before = "admin/routing/modelgroup/members_before.html"
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows: QuerySet = super().get_queryset(request).select_related("channel", "provider")
        return rows

    def formfield_for_dbfield(self, db_field: Field, request: HttpRequest, **kwargs: Any) -> Any:
        """The usual fields, narrow enough that a whole member stands in one row."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        if db_field.name in _WIDTHS:
            field.widget.attrs["style"] = f"width: {_WIDTHS[db_field.name]}; min-width: {_WIDTHS[db_field.name]}"
        return field

    @admin.display(description=gettext_lazy("state"))
    def state(self, member: GroupMember) -> SafeString | str:
        return show_state(member, getattr(member, "offerings_now", [])) if member.pk else "-"


@admin.register(ModelGroup)
class ModelGroupAdmin(SwitchActions):
    list_display = ["name", "display_name", "members", "is_active"]
    list_filter = [("is_active", BooleanRadioFilter)]
    search_fields = ["name", "display_name"]
    fieldsets = [(None, {"fields": ["name", "display_name", "description", "is_active"]})]
    inlines = [MemberInline]

    def formfield_for_dbfield(self, db_field: Field, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "description":
            field.widget.attrs["rows"] = 3
        return field

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows: QuerySet = super().get_queryset(request).prefetch_related("members__channel", "members__provider")
        return rows

    @admin.display(description=gettext_lazy("members"))
    def members(self, group: ModelGroup) -> SafeString | str:
        members = [member for member in group.members.all() if member.is_active]
        if not members:
            return label(_("no members"), "warning")
        names = ", ".join(str(member) for member in members[:8])
        count = ngettext("%d member", "%d members", len(members)) % len(members)
        waiting = sum(1 for member in members if member.waiting_for)
        return hint(
            count if not waiting else _("%(count)s, %(waiting)d waiting") % {"count": count, "waiting": waiting}, names
        )
