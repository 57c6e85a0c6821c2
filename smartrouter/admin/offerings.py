"""Worker side. The admin of offerings: on their channel's page, and on a page of their own with their prices."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.db.models import ForeignKey, Prefetch, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    BooleanRadioFilter,
    DropdownFilter,
    RelatedDropdownFilter,
)
from unfold.forms import PaginationInlineFormSet

from channels.models import Channel, Offering, OfferingPrice
from providers.models import ModelPrice, ProviderModel
from routing.models import ModelGroup
from smartrouter.admin.base import PriceInline, SwitchActions
from smartrouter.admin.fields import NamesField
from smartrouter.admin.labels import label, link_to
from smartrouter.admin.prices import begun_prices, latest, show_price
from smartrouter.admin.selection import refs_of_group
from smartrouter.admin.tenancy import Access, Viewpoint, viewpoint_of
from smartrouter.admin.tenancy_gate import id_of_page
from smartrouter.admin.tenancy_pages import TreeInline


class ModelsOfProvider(AutocompleteSelect):
    """An autocomplete field over the models of one provider."""

    provider_id: int | None = None

    def get_url(self) -> str:
        url = str(super().get_url())
        return f"{url}?{urlencode({'of_provider': self.provider_id})}" if self.provider_id else url


class OfferingForm(forms.ModelForm):
    """What a channel offers."""

    aliases = NamesField(label=gettext_lazy("Aliases"), required=False, help_text=gettext_lazy("Separated by commas."))

    class Meta:
        model = Offering
        exclude: list[str] = []


class TenantOfferingForm(OfferingForm):
    """An offering of a tenant's own channel: an operator has priced it for the model that it has."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "provider_model" in self.fields:
            self.fields["provider_model"].disabled = True


class OfferingFormSet(PaginationInlineFormSet):
    """A channel's offerings; each is checked against the channel as it stands in the same form."""

    def _construct_form(self, i: int, **kwargs: Any) -> Any:
        form = super()._construct_form(i, **kwargs)
        form.instance.channel = self.instance
        return form


class OfferingInline(TreeInline, TabularInline):
    """What a channel offers. Tenants' people see no prices, and keep each offering's model: its price belongs to it."""

    model = Offering
    form = OfferingForm
    formset = OfferingFormSet
    fields = ["provider_model", "name", "aliases", "price", "is_active"]
    readonly_fields = ["price"]
    autocomplete_fields = ["provider_model"]
    hide_title = True
    extra = 0
    per_page = 50
    can_delete_in_tree = False

    def access_of(self, view: Viewpoint, parent: Any) -> Access:
        is_theirs = parent is None or parent.owner_id in view.administered
        return Access.CHANGE if is_theirs else Access.VIEW

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        names: list[Any] = list(self.fields or [])
        return names if viewpoint_of(request).is_operator else [name for name in names if name != "price"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["price"] if viewpoint_of(request).is_operator else []

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        if not viewpoint_of(request).is_operator:
            kwargs["form"] = TenantOfferingForm
        return super().get_formset(request, obj, **kwargs)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = super().get_queryset(request).select_related("provider_model__provider", "channel")
        return with_prices(rows).order_by("name", "pk")

    def formfield_for_foreignkey(self, db_field: ForeignKey, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "provider_model":
            widget = ModelsOfProvider(db_field, self.admin_site)
            widget.provider_id = _provider_of_page(request)
            kwargs["widget"] = widget
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "provider_model" and not viewpoint_of(request).is_operator:
            field.queryset = _models_for_page(request, field.queryset)
        return field

    @admin.display(description=gettext_lazy("price now"))
    def price(self, offering: Any) -> SafeString | str:
        if not offering.pk:
            return "-"
        return format_html("{} {}", show_price_of(offering), link_to(offering, _("edit")))


def _provider_of_page(request: HttpRequest) -> int | None:
    """The id of the provider of the channel whose page this is; None on the page that adds one."""
    found = id_of_page(request)
    if found is None:
        return None
    return Channel.objects.filter(pk=found).values_list("provider_id", flat=True).first()


def _models_for_page(request: HttpRequest, choices: QuerySet) -> QuerySet:
    """Those of the choices that are of the provider of the channel whose page this is, and what its offerings have already;
    all of them on the page that adds a channel."""
    page = id_of_page(request)
    if page is None:
        return choices
    here = Offering.objects.filter(channel=page, channel__owner__in=viewpoint_of(request).administered)
    of_provider = choices.filter(provider=_provider_of_page(request))
    found = Q(pk__in=of_provider.values("pk")) | Q(pk__in=here.order_by().values("provider_model"))
    return ProviderModel.objects.filter(found).select_related("provider")


def with_prices(offerings: QuerySet) -> QuerySet:
    """The offerings with the prices that show_price_of reads."""
    return offerings.prefetch_related(
        Prefetch("prices", begun_prices(OfferingPrice), to_attr="begun_prices"),
        Prefetch("provider_model__prices", begun_prices(ModelPrice), to_attr="begun_prices"),
    )


def show_price_of(offering: Any) -> SafeString:
    """The price in force: the offering's own, else its model's list price."""
    own, model = latest(offering.begun_prices), offering.provider_model
    if not hasattr(model, "begun_prices"):  # chosen in a form that came back with errors
        model.begun_prices = list(begun_prices(ModelPrice).filter(provider_model=model))
    if own is not None:
        return format_html(
            "{} {}", show_price(own, is_free=False), label(_("own"), "info", _("The offering's own price"))
        )
    return format_html("{}", show_price(latest(model.begun_prices), is_free=model.is_free))


class GroupFilter(DropdownFilter):
    """Offerings that may serve a model group: its members' and selected ones, as its filters let them in."""

    title = gettext_lazy("serves the group")
    parameter_name = "group"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> Any:
        return [(str(pk), name) for pk, name in ModelGroup.objects.values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        pk = str(self.value() or "")
        group = ModelGroup.objects.filter(pk=int(pk)).first() if pk.isdecimal() and len(pk) < 19 else None
        return queryset if group is None else queryset.filter(pk__in=refs_of_group(group))


class OfferingPriceInline(PriceInline):
    model = OfferingPrice


@admin.register(Offering)
class OfferingAdmin(SwitchActions):
    list_display = ["name", "channel", "provider_model", "shown_aliases", "price", "is_active"]
    list_filter = [
        GroupFilter,
        ("channel", AutocompleteSelectFilter),
        ("channel__provider", RelatedDropdownFilter),
        ("is_active", BooleanRadioFilter),
    ]
    search_fields = ["name", "channel__name", "provider_model__name"]
    list_select_related = ["channel", "provider_model__provider"]
    autocomplete_fields = ["channel", "provider_model"]
    fieldsets = [(None, {"fields": ["channel", "provider_model", "name", "aliases", "is_active"]})]
    inlines = [OfferingPriceInline]
    form = OfferingForm

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return with_prices(super().get_queryset(request))

    @admin.display(description=gettext_lazy("aliases"))
    def shown_aliases(self, offering: Offering) -> str:
        return ", ".join(offering.aliases) or "-"

    @admin.display(description=gettext_lazy("price now"))
    def price(self, offering: Any) -> SafeString | str:
        return show_price_of(offering)
