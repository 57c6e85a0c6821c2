"""Worker side. The admin of the routing room: model groups, and the rules that say how a name's channel is chosen."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Field, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import BooleanRadioFilter, ChoicesDropdownFilter

from providers.models import Provider, ProviderModel
from routing.defaults import EVERY_NAME, default_preset, default_rule, reset_default, rule_for, set_default
from routing.models import ModelGroup, StrategyRule
from routing.strategies import PRESET_LABELS
from smartrouter.admin.base import SwitchActions, ZonedAdmin
from smartrouter.admin.budgets import BudgetInline
from smartrouter.admin.fields import CheckboxRow, ChoicesField, NamesField, PriceField, TagsField, text_of
from smartrouter.admin.labels import hint, label
from smartrouter.admin.layers import StrategyForm, say_default, show_layers, show_strategy
from smartrouter.admin.limits import UsdField
from smartrouter.admin.members import MemberInline, PolicyInline
from smartrouter.admin.selection import (
    conditions_in_words,
    counts_selected,
    say_conditions,
    show_selection,
    warnings_about,
)

_FIELDS = [
    "name", "display_name", "description", "strategy", "fallback", "max_cost_per_request_nusd", "is_active"
]  # fmt: skip
_FILTERS = ["max_cost_per_1k", "min_context_length", "capabilities", "provider_kinds", "regions"]


def titled(title: str, content: str) -> str:
    """The title of a part of a page, with what is in it."""
    return _("%(title)s (%(content)s)") % {"title": title, "content": content} if content else title


class ModelGroupForm(StrategyForm):
    """A model group."""

    tags = TagsField(**text_of(ModelGroup, "tags"), required=False)
    regions = NamesField(**text_of(ModelGroup, "regions"), required=False)
    capabilities = ChoicesField(
        **text_of(ModelGroup, "capabilities"),
        required=False,
        choices=ProviderModel.Capability.choices,
        widget=CheckboxRow,
    )
    provider_kinds = ChoicesField(
        **text_of(ModelGroup, "provider_kinds"), required=False, choices=Provider.Kind.choices, widget=CheckboxRow
    )
    max_cost_per_1k = PriceField(
        **text_of(ModelGroup, "max_cost_per_1k"), required=False, max_digits=20, decimal_places=9, min_value=0
    )
    max_cost_per_request_nusd = UsdField(**text_of(ModelGroup, "max_cost_per_request_nusd"))

    class Meta:
        model = ModelGroup
        exclude: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fallback: Any = self.fields["fallback"]
        fallback.queryset = ModelGroup.objects.exclude(pk=self.instance.pk)
        fallback.empty_label = _("None")

    def say_empty(self) -> str:
        rule = rule_for(self.instance.name) if self.instance.pk else default_rule()
        if rule is not None and rule.pattern != EVERY_NAME:
            return _("As the rule %(pattern)s says: %(strategy)s") % {
                "pattern": rule.pattern,
                "strategy": say_default(rule),
            }
        return _("As the default says, now: %s") % say_default(rule)


@admin.register(ModelGroup)
class ModelGroupAdmin(ZonedAdmin, SwitchActions):
    list_display = ["name", "display_name", "shown_strategy", "members", "fallback", "is_active"]
    list_filter = [
        ("strategy", ChoicesDropdownFilter),
        ("selects", BooleanRadioFilter),
        ("is_active", BooleanRadioFilter),
    ]
    search_fields = ["name", "display_name"]
    list_select_related = ["fallback"]
    readonly_fields = ["selected_now"]
    inlines = [MemberInline, PolicyInline, BudgetInline]
    form = ModelGroupForm

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """The simple case in the open; the rest folded away, each part titled with what it says."""
        group = obj or ModelGroup()
        tags, filters = conditions_in_words(group)
        selected = ["selects", "tags", *(["selected_now"] if obj else [])]
        is_open = group.selects or group.tags
        return [
            (None, {"fields": _FIELDS}),
            (
                titled(_("Layers"), show_layers(group.layers)),
                {"classes": ["collapse"], "fields": ["layers"]},
            ),
            (
                titled(_("Filters, for all members"), " · ".join(filters)),
                {"classes": ["collapse"], "fields": _FILTERS},
            ),
            (
                titled(_("Selected members"), " · ".join(tags)),
                {"classes": [] if is_open else ["collapse"], "fields": selected},
            ),
        ]

    def formfield_for_dbfield(self, db_field: Field, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "description":
            field.widget.attrs["rows"] = 3
        elif db_field.name == "fallback":
            field.widget = field.widget.widget  # without the buttons that add and change another group
        return field

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows: QuerySet = super().get_queryset(request).prefetch_related("members__channel", "members__provider")
        return rows

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        page = super().changelist_view(request, extra_context)
        changelist = (getattr(page, "context_data", None) or {}).get("cl")
        if changelist is not None:
            groups = list(changelist.result_list)
            counts = counts_selected(groups)
            for group in groups:
                group.selected_n = counts.get(group.pk)
            changelist.result_list = groups
        return page

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        for warning in warnings_about(form.instance):
            self.message_user(request, warning, messages.WARNING)

    @admin.display(description=gettext_lazy("strategy"), ordering="strategy")
    def shown_strategy(self, group: ModelGroup) -> SafeString | str:
        return show_strategy(group.strategy, group.layers, _("default"))

    @admin.display(description=gettext_lazy("members"))
    def members(self, group: Any) -> SafeString | str:
        members = [member for member in group.members.all() if member.is_active]
        parts = [_show_members(members)] if members else []
        if group.selects:
            counted = getattr(group, "selected_n", None)
            text = _("selected") if counted is None else _("%s selected") % f"{counted:,}"
            parts.append(label(text, "warning" if counted == 0 else "info", say_conditions(group)))
        return format_html_join(" ", "{}", ((part,) for part in parts)) if parts else label(_("no members"), "warning")

    @admin.display(description=gettext_lazy("selected now"))
    def selected_now(self, group: ModelGroup) -> SafeString | str:
        return show_selection(group)


def _show_members(members: list[Any]) -> SafeString:
    """How many members, how many of them wait, and on hover their names."""
    names = ", ".join(str(member) for member in members[:8])
    count = ngettext("%d member", "%d members", len(members)) % len(members)
    waiting = sum(1 for member in members if member.waiting_for)
    text = _("%(count)s, %(waiting)d waiting") % {"count": count, "waiting": waiting} if waiting else count
    return hint(text, names)


class StrategyRuleForm(StrategyForm):
    """How candidates of a name are chosen."""

    class Meta:
        model = StrategyRule
        exclude: list[str] = []


@admin.register(StrategyRule)
class StrategyRuleAdmin(ModelAdmin):
    list_display = ["pattern", "shown_strategy"]
    list_display_links = ["pattern"]
    list_filter = [("strategy", ChoicesDropdownFilter)]
    search_fields = ["pattern"]
    fieldsets = [
        (None, {"fields": ["pattern", "strategy"]}),
        (gettext_lazy("Layers"), {"fields": ["layers"]}),
    ]
    actions = ["make_default"]
    list_before_template = "admin/routing/strategyrule/default.html"
    list_filter_submit = True
    form = StrategyRuleForm

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.switch_default)
        urls: list[URLPattern] = super().get_urls()
        return [path("default/", view, name="routing_strategyrule_default"), *urls]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        rule = default_rule()
        context = {
            "default_rule": rule,
            "default_shown": say_default(rule),
            "default_preset": rule.strategy if rule else default_preset(),
            "presets": PRESET_LABELS.items(),
        }
        return super().changelist_view(request, {**(extra_context or {}), **context})

    def switch_default(self, request: HttpRequest) -> HttpResponse:
        """Set the rule for every name to a preset, or (an empty one) delete it; then back to the list."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (self.has_change_permission(request) and self.has_add_permission(request)):
            raise PermissionDenied
        name = request.POST.get("strategy", "")
        if name:
            self.take_as_default(request, name, [])
        elif (rule := default_rule()) is not None:
            self.log_deletions(request, StrategyRule.objects.filter(pk=rule.pk))
            reset_default()
            text = _("The default strategy is %s again, as LOAD_BALANCING_STRATEGY says.") % say_default(None)
            self.message_user(request, text, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:routing_strategyrule_changelist"))

    def take_as_default(self, request: HttpRequest, name: str, layers: list[Any]) -> None:
        """Make a preset or layers the default, with a note in the rule's history."""
        try:
            rule, is_changed = set_default(name, layers)
        except ValueError as e:
            self.message_user(request, str(e), messages.ERROR)
            return
        if is_changed:
            self.log_change(request, rule, [{"changed": {"fields": ["strategy"]}}])
        self.message_user(request, _("The default strategy is %s now.") % say_default(rule), messages.SUCCESS)

    @admin.display(description=gettext_lazy("strategy"), ordering="strategy")
    def shown_strategy(self, rule: StrategyRule) -> SafeString | str:
        text = show_strategy(rule.strategy, rule.layers)
        return format_html("{} {}", text, label(_("default"), "info")) if rule.pattern == EVERY_NAME else text

    @admin.action(description=gettext_lazy("Make this the default for everything"), permissions=["change"])
    def make_default(self, request: HttpRequest, queryset: QuerySet) -> None:
        rules = list(queryset[:2])
        if len(rules) != 1:
            self.message_user(request, _("Select one rule: there is one default."), messages.ERROR)
            return
        self.take_as_default(request, rules[0].strategy, rules[0].layers)
