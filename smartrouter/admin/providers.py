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
from providers.naming import context_of, quality_of
from smartrouter.admin.base import PriceInline, SwitchActions, count_of
from smartrouter.admin.fields import KnownField, PriceField, TagsField, text_of
from smartrouter.admin.labels import hint, label
from smartrouter.admin.prices import begun_prices, latest, show_price
from smartrouter.lib.money import show_number


class ProviderForm(forms.ModelForm):
    """A provider, its adapter chosen from the registered ones."""

    class Meta:
        model = Provider
        fields = ["name", "display_name", "kind", "adapter", "base_url", "region", "is_active"]

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
        "region",
        "models_count",
        "channels_count",
        "is_active",
    ]
    list_filter = [("kind", ChoicesDropdownFilter), ("is_active", BooleanRadioFilter)]
    search_fields = ["name", "display_name", "base_url"]
    fieldsets = [(None, {"fields": ["name", "display_name", "kind", "adapter", "base_url", "region", "is_active"]})]
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


NOT_KNOWN, NONE = "not-known", "none"


class CapabilityFilter(DropdownFilter):
    """Models that have a capability, none of them, or of which nothing is known."""

    title = _("capability")
    parameter_name = "capability"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> Any:
        return [*ProviderModel.Capability.choices, (NONE, _("None of these")), (NOT_KNOWN, _("Not known"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        # As text, since SQLite cannot look into a JSON list.
        found: QuerySet = queryset.annotate(capabilities_text=Cast("capabilities", TextField()))
        if self.value() == NOT_KNOWN:
            return found.filter(capabilities_text="[]")
        if self.value() not in (*ProviderModel.Capability.values, NONE):
            return queryset
        return found.filter(capabilities_text__contains=f'"{self.value()}"')


class ProviderModelForm(forms.ModelForm):
    """A provider's model."""

    capabilities = KnownField(
        label=_("Capabilities"),
        choices=ProviderModel.Capability.choices,
        help_text=_(
            "Nothing ticked: not known. Requests with tools, images, audio or a JSON schema go only to models that can do "
            "it; one of which nothing is known serves them where no other can."
        ),
    )
    tags = TagsField(
        label=_("Tags"),
        required=False,
        help_text=_(
            "Separated by commas, beside the parts of its name; clients may ask for them: tag:qwen,free. What costs "
            "nothing has the tag free by itself."
        ),
    )

    class Meta:
        model = ProviderModel
        exclude: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "capabilities" in self.fields:
            self.fields["capabilities"].keep(self.instance.capabilities or ())  # type: ignore[attr-defined]
        if self.instance.pk:
            self.show_guesses(self.instance.name)

    def show_guesses(self, name: str) -> None:
        """Say in the empty fields what is guessed from the model's name."""
        context = context_of(name)
        guesses = {
            "quality_score": (quality_of(name), _("From 0 to 1. Empty: %s, guessed from the name.") % quality_of(name)),
            "context_length": (
                context or "",
                _("In tokens. Empty: %s, as the name says.") % f"{context:,}"
                if context
                else _("In tokens. Empty: not known; the name does not say it."),
            ),
        }
        for field, (guess, text) in guesses.items():
            self.fields[field].widget.attrs["placeholder"] = guess
            self.fields[field].help_text = text


class ModelPriceInline(PriceInline):
    model = ModelPrice


@admin.register(ProviderModel)
class ProviderModelAdmin(SwitchActions):
    list_display = [
        "name", "provider", "shown_context", "shown_capabilities", "shown_tags", "shown_quality", "price", "is_active"
    ]  # fmt: skip
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
        if not model.capabilities:
            return label(_("not known")) if model.capabilities is None else hint(_("none"), "")
        names = dict(ProviderModel.Capability.choices)
        return format_html_join(" ", "{}", ((label(names.get(c, c)),) for c in model.capabilities))

    @admin.display(description=_("context length"), ordering="context_length")
    def shown_context(self, model: ProviderModel) -> SafeString | str:
        guessed = context_of(model.name)
        if model.context_length:
            return f"{model.context_length:,}"
        return hint(f"≈ {guessed:,}", _("Guessed from the name")) if guessed else "-"

    @admin.display(description=_("quality"), ordering="quality_score")
    def shown_quality(self, model: ProviderModel) -> SafeString | str:
        if model.quality_score is not None:
            return f"{model.quality_score:g}"
        return hint(f"≈ {quality_of(model.name):g}", _("Guessed from the name"))

    @admin.display(description=_("tags"))
    def shown_tags(self, model: ProviderModel) -> str:
        return ", ".join(map(str, model.tags)) or "-"

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
