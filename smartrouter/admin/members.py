"""Worker side. A group's members and time policies on its page: rows in an order."""

from functools import cached_property
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db.models import Field, Max, QuerySet
from django.forms.utils import ErrorList
from django.http import HttpRequest
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import StackedInline, TabularInline
from unfold.forms import PaginationInlineFormSet

from routing.members import active_offerings, offerings_by_member
from routing.models import GroupMember, ModelGroup, TimePolicy
from routing.selection import conditions_of, facts_of, needs_prices, passing
from smartrouter.admin.fields import DaysField, ZoneInput, text_of
from smartrouter.admin.labels import label, listed
from smartrouter.admin.layers import StrategyForm, name_preset, show_layers

_WIDTHS = {
    "waiting_for": "6rem",
    "model": "10rem",
    "priority": "3.5rem",
    "weight": "4rem",
    "daily_limit": "5rem",
}


def show_state(member: GroupMember, offerings: list[Any], let_in: set[int]) -> SafeString | str:
    """Whether the member takes part now, and if not, why; let_in: the offerings that the group's filters let in."""
    if not member.is_active:
        return label(_("off"))
    serving = [offering for offering in offerings if offering.pk in let_in]
    if serving:
        text = _("ready") if len(serving) == 1 else _("ready · %d") % len(serving)
        return label(text, "success", ", ".join(str(offering.channel) for offering in serving))
    if offerings:
        return label(_("filtered out"), "warning", _("The group's filters do not let it in."))
    if member.waiting_for:
        return label(_("waiting"), "warning", _("%s is not configured yet.") % member.waiting_for)
    return label(_("waiting"), "warning", _("No active channel of %s offers this model.") % member.target_name)


def refs_let_in(group: ModelGroup, refs: set[int]) -> set[int]:
    """Those of these active offerings (primary keys) that the group's filters let in."""
    conditions = conditions_of(group, with_tags=False)
    if not conditions or not refs:
        return refs
    facts = facts_of(active_offerings().filter(pk__in=refs), with_prices=needs_prices([group]))
    return set(passing(facts, conditions).refs)


class MemberForm(forms.ModelForm):
    """A member of a group."""

    class Meta:
        model = GroupMember
        exclude: list[str] = []

    def non_field_errors(self) -> ErrorList:
        """Each error once: the model's clean and its constraint say the same."""
        found = dict.fromkeys(str(error) for error in super().non_field_errors())
        return self.error_class(list(found), error_class="nonfield", renderer=self.renderer)


class OrderedFormSet(PaginationInlineFormSet):
    """A group's rows of one sort in order; one that is new goes last."""

    def save_new(self, form: Any, commit: bool = True) -> Any:
        rows = self.model._default_manager.filter(group=self.instance)
        last = rows.aggregate(last=Max("position"))["last"] if self.instance.pk else None
        form.instance.position = 0 if last is None else last + 1
        return super().save_new(form, commit)


class MemberFormSet(OrderedFormSet):
    """A group's members, each with the offerings that it stands for now."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offerings = offerings_by_member(self.get_queryset()) if self.instance.pk else {}
        let_in = refs_let_in(self.instance, {offering.pk for found in offerings.values() for offering in found})
        for form in self.initial_forms:
            form.instance.state_now = show_state(form.instance, offerings.get(form.instance.pk, []), let_in)

    def clean(self) -> None:
        """Refuse an active group that can never have a member."""
        super().clean()
        rows = [form for form in self.forms if form not in self.deleted_forms]
        has_members = any(form.instance.pk or form.has_changed() for form in rows)
        if self.instance.is_active and not self.instance.selects and not has_members:
            raise ValidationError(
                _(
                    "This group would have no members. Add one, or switch “selects members” on, or switch the group off "
                    "until it has some."
                ),
                code="no_members",
            )


class MemberInline(TabularInline):
    model = GroupMember
    form = MemberForm
    formset = MemberFormSet
    fields = [
        "state", "channel", "provider", "waiting_for", "model", "priority", "weight", "daily_limit", "is_active",
        "position",
    ]  # fmt: skip
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
        if db_field.name in ("priority", "daily_limit"):
            field.widget.attrs["title"], field.help_text = field.help_text, ""  # the sign would take the row's room
        if db_field.name in _WIDTHS:
            field.widget.attrs["style"] = f"width: {_WIDTHS[db_field.name]}; min-width: {_WIDTHS[db_field.name]}"
        return field

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return 0 if obj else 1

    @admin.display(description=gettext_lazy("state"))
    def state(self, member: GroupMember) -> SafeString | str:
        return getattr(member, "state_now", "-")


def show_days(days: list[int]) -> str:
    """The weekdays, shortened: “every day”, “Mon–Fri”, “Sat, Sun”."""
    found = sorted(set(days))
    if len(found) == 7:
        return _("every day")
    names = [str(WEEKDAYS_ABBR[day]) for day in found]
    if len(found) > 2 and found[-1] - found[0] == len(found) - 1:
        return f"{names[0]}–{names[-1]}"
    return listed(names)


def show_policy(policy: TimePolicy, groups: dict[int, str]) -> str:
    """When the policy holds, and what it changes; groups: names by primary key."""
    what = [show_layers(policy.layers) if policy.layers else name_preset(policy.strategy)]
    if policy.members_of_id is not None:
        what.append(_("members of %s") % groups.get(policy.members_of_id, "-"))
    return _("%(days)s %(start)s–%(end)s %(zone)s: %(what)s") % {
        "days": show_days(policy.days),
        "start": f"{policy.start:%H:%M}",
        "end": f"{policy.end:%H:%M}",
        "zone": policy.timezone,
        "what": _(", ").join(part for part in what if part),
    }


class PolicyForm(StrategyForm):
    """A time policy of a group."""

    empty_strategy = gettext_lazy("As at other hours, or the layers below")
    days = DaysField(**text_of(TimePolicy, "days"))

    class Meta:
        model = TimePolicy
        exclude: list[str] = []
        widgets = {"timezone": ZoneInput}

    def _post_clean(self) -> None:
        """What the model says about the row as a whole stands at the strategy: its template shows nothing else."""
        super()._post_clean()  # type: ignore[misc]
        for error in self.errors.pop(NON_FIELD_ERRORS, []):
            self.add_error("strategy", error)


class PolicyFormSet(OrderedFormSet):
    """A group's time policies, each titled with what it says."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for form in self.initial_forms:
            form.instance.get_inline_title = show_policy(form.instance, self.other_groups)

    @cached_property
    def other_groups(self) -> dict[int, str]:
        """The names of all other groups, read once for all rows."""
        return dict(ModelGroup.objects.exclude(pk=self.instance.pk).values_list("pk", "name"))

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        form.fields["members_of"].choices = [("", _("Its own members")), *self.other_groups.items()]


class PolicyInline(StackedInline):
    """Other strategies or members at set hours."""

    model = TimePolicy
    fk_name = "group"
    form = PolicyForm
    formset = PolicyFormSet
    fieldsets = [
        (
            None,
            {"fields": ["days", "start", "end", "timezone", "strategy", "members_of", "is_active", "position"]},
        ),
        (gettext_lazy("Layers"), {"classes": ["collapse"], "fields": ["layers"]}),
    ]
    ordering_field = "position"
    hide_ordering_field = True
    template_before = "admin/routing/modelgroup/policies_before.html"
    tab = True
    extra = 0

    def formfield_for_dbfield(self, db_field: Field, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        return field
