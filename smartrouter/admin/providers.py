"""Worker side. The admin of the providers room: providers, their models with prices, exchange rates."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Prefetch, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import (
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
    RelatedDropdownFilter,
)
from unfold.widgets import UnfoldAdminSelectWidget

from channels.models import Channel
from providers.models import ExchangeRate, ModelPrice, Provider, ProviderModel, adapter_choices
from smartrouter.admin.base import PriceInline, SwitchActions, count_of
from smartrouter.admin.fields import ChoicesField, NamesField, PriceField, text_of
from smartrouter.admin.labels import label
from smartrouter.admin.prices import begun_prices, latest, show_price
from smartrouter.lib.money import show_number


class ProviderForm(forms.ModelForm):
    """A provider, its adapter chosen from the registered ones."""

    class Meta:
        model = Provider
        fields = ["name", "display_name", "kind", "adapter", "base_url", "is_active"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = adapter_choices()
        if self.instance.adapter not in dict(known):
            known.append((self.instance.adapter, self.instance.adapter))  # a retired one: shown, refused when saved
        self.fields["adapter"] = forms.ChoiceField(
            **text_of(Provider, "adapter"),
            choices=known,
            widget=UnfoldAdminSelectWidget(),
        )


@admin.register(Provider)
class ProviderAdmin(SwitchActions):
    list_display = [
        "name",
        "display_name",
        "kind",
        "adapter",
        "base_url",
        "models_count",
        "channels_count",
        "is_active",
    ]
    list_filter = [("kind", ChoicesDropdownFilter), ("is_active", BooleanRadioFilter)]
    search_fields = ["name", "display_name", "base_url"]
    fieldsets = [(None, {"fields": ["name", "display_name", "kind", "adapter", "base_url", "is_active"]})]
    form = ProviderForm

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows: QuerySet = super().get_queryset(request)
        rows = rows.annotate(models_n=count_of(ProviderModel, "provider"), channels_n=count_of(Channel, "provider"))
        return rows

    @admin.display(description=_("models"), ordering="models_n")
    def models_count(self, provider: Any) -> int:
        return int(provider.models_n)

    @admin.display(description=_("channels"), ordering="channels_n")
    def channels_count(self, provider: Any) -> int:
        return int(provider.channels_n)


class CapabilityFilter(DropdownFilter):
    """Models that have a capability."""

    title = _("capability")
    parameter_name = "capability"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> Any:
        return ProviderModel.Capability.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() not in ProviderModel.Capability.values:
            return queryset
        # As text, since SQLite cannot look into a JSON list.
        found: QuerySet = queryset.annotate(capabilities_text=Cast("capabilities", TextField()))
        return found.filter(capabilities_text__contains=f'"{self.value()}"')


class ProviderModelForm(forms.ModelForm):
    """A provider's model."""

    capabilities = ChoicesField(label=_("Capabilities"), required=False, choices=ProviderModel.Capability.choices)
    tags = NamesField(
        label=_("Tags"), required=False, help_text=_("Separated by commas; clients may ask for them: tag:qwen,free.")
    )

    class Meta:
        model = ProviderModel
        exclude: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "capabilities" in self.fields:
            self.fields["capabilities"].keep(self.instance.capabilities)  # type: ignore[attr-defined]


class ModelPriceInline(PriceInline):
    model = ModelPrice


@admin.register(ProviderModel)
class ProviderModelAdmin(SwitchActions):
    list_display = ["name", "provider", "context_length", "shown_capabilities", "price", "is_active"]
    list_filter = [
        ("provider", RelatedDropdownFilter),
        CapabilityFilter,
        ("is_free", BooleanRadioFilter),
        ("is_active", BooleanRadioFilter),
    ]
    search_fields = ["name", "display_name", "provider__name"]
    list_select_related = ["provider"]
    autocomplete_fields = ["provider"]
    fieldsets = [
        (None, {"fields": ["provider", "name", "display_name", "is_free", "is_active"]}),
        (
            _("What it can do"),
            {"fields": ["capabilities", "tags", "context_length", "default_output_tokens", "quality_score"]},
        ),
    ]
    inlines = [ModelPriceInline]
    form = ProviderModelForm

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        prices = Prefetch("prices", begun_prices(ModelPrice), to_attr="begun_prices")
        rows: QuerySet = super().get_queryset(request).prefetch_related(prices)
        return rows

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        """The search, limited to one provider where an autocomplete field asks for that."""
        provider = request.GET.get("of_provider", "")
        if provider.isdigit():
            queryset = queryset.filter(provider_id=int(provider))
        found: tuple[QuerySet, bool] = super().get_search_results(request, queryset, search_term)
        return found

    @admin.display(description=_("capabilities"))
    def shown_capabilities(self, model: ProviderModel) -> SafeString | str:
        names = dict(ProviderModel.Capability.choices)
        return format_html_join(" ", "{}", ((label(names.get(c, c)),) for c in model.capabilities)) or "-"

    @admin.display(description=_("price now"))
    def price(self, model: Any) -> SafeString | str:
        return show_price(latest(model.begun_prices), is_free=model.is_free)


@admin.register(ExchangeRate)
class ExchangeRateAdmin(ModelAdmin):
    list_display = ["currency", "shown_usd", "effective_from"]
    list_filter = ["currency"]
    search_fields = ["currency"]
    fieldsets = [(None, {"fields": ["currency", "usd", "effective_from"]})]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "usd":
            label, above_0 = capfirst(db_field.verbose_name), {"min_value": _("Enter a number above 0.")}
            return PriceField(
                label=label, max_digits=20, decimal_places=10, validators=db_field.validators, error_messages=above_0
            )
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @admin.display(description=_("USD for one unit"), ordering="usd")
    def shown_usd(self, rate: ExchangeRate) -> str:
        return show_number(rate.usd)
