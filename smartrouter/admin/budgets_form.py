"""Worker side. The budgets of one owner as a formset: typed in the unit's own terms, stored exactly, saved one by one.

Budgets point at a scope and not at their owner, so that this is built as Django's generic inlines are: a formset with an
instance and without a foreign key. The scope is made when the first budget is saved.
"""

from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q, QuerySet
from django.forms.models import BaseModelFormSet
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.forms import PaginationFormSetMixin
from unfold.widgets import UnfoldAdminTextInputWidget

from billing.models import Budget, BudgetScope
from billing.scopes import EACH
from channels.models import Channel
from routing.models import ModelGroup
from smartrouter.accounts.models import RouterKey, Tenant, User
from smartrouter.admin.budgets_shown import in_terms
from smartrouter.admin.budgets_standing import add_highest
from smartrouter.admin.fields import PriceField
from smartrouter.lib.money import NUSD_PER_USD, nusd_of

# What a column of eight bytes holds.
LARGEST_AMOUNT = 2**63 - 1
# What makes of a budget another one, which is counted from now on.
_IDENTITY = {"unit", "window", "end_user"}
_FIELDS: dict[type[models.Model], tuple[BudgetScope.Kind, str]] = {
    Tenant: (BudgetScope.Kind.TENANT, "tenant"),
    RouterKey: (BudgetScope.Kind.ROUTER_KEY, "router_key"),
    User: (BudgetScope.Kind.USER, "user"),
    Channel: (BudgetScope.Kind.CHANNEL, "channel"),
    ModelGroup: (BudgetScope.Kind.GROUP, "model_group"),
}


def scope_of(owner: Any, end_user: str = "") -> BudgetScope:
    """The scope of a tenant, router key, user, channel or group, or of an end user of a tenant; made where there is none."""
    kind, field = _FIELDS[type(owner)]
    if kind == BudgetScope.Kind.GROUP:
        return _scope_of_group(owner)
    if end_user:
        kind = BudgetScope.Kind.END_USER
    scope, _is_new = BudgetScope.objects.get_or_create(**{field: owner}, kind=kind, end_user=end_user)
    return scope


def _scope_of_group(group: ModelGroup) -> BudgetScope:
    with transaction.atomic():
        stored = ModelGroup.objects.select_for_update().get(pk=group.pk)
        if stored.budget_scope is None:
            stored.budget_scope = BudgetScope.objects.create(kind=BudgetScope.Kind.GROUP)
            stored.save(update_fields=["budget_scope"])
        group.budget_scope = stored.budget_scope
    return stored.budget_scope


class BudgetForm(forms.ModelForm):
    """One budget; the limits as USD with up to nine decimals, or as whole numbers of requests or tokens."""

    limit = PriceField(
        label=gettext_lazy("limit"),
        required=False,
        max_digits=28,
        decimal_places=9,
        min_value=0,
        help_text=gettext_lazy("USD, requests or tokens. Nothing is used beyond it."),
    )
    soft_limit = PriceField(
        label=gettext_lazy("soft limit"),
        required=False,
        max_digits=28,
        decimal_places=9,
        min_value=0,
        help_text=gettext_lazy("When it is reached there is a warning; nothing is refused."),
    )

    class Meta:
        model = Budget
        fields = ["unit", "window", "limit", "soft_limit"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("unit", "window"):
            self.fields[name].widget.attrs["style"] = "min-width: 7.5rem"
        for name in ("limit", "soft_limit"):
            self.initial[name] = in_terms(self.instance.unit, getattr(self.instance, name))

    def clean(self) -> dict[str, Any]:
        """The data with the limits as they are stored."""
        data = super().clean() or self.cleaned_data
        for name in ("limit", "soft_limit"):
            if data.get(name) is None or "unit" not in data:
                continue
            try:
                data[name] = _stored(data["unit"], data[name])
            except ValidationError as e:
                self.add_error(name, e)
        return data

    @property
    def is_moved(self) -> bool:
        """Whether it has become another budget: of another unit, window or end user."""
        return bool(_IDENTITY & set(self.changed_data))


def _stored(unit: str, amount: Decimal) -> int:
    """The exact amount in nano-USD, requests or tokens. Raises ValidationError."""
    if unit != Budget.Unit.USD and amount != amount.to_integral_value():
        raise ValidationError(_("Requests and tokens are whole numbers."), code="whole")
    stored = nusd_of(amount) if unit == Budget.Unit.USD else int(amount)
    if stored > LARGEST_AMOUNT:
        largest = LARGEST_AMOUNT // NUSD_PER_USD if unit == Budget.Unit.USD else LARGEST_AMOUNT
        raise ValidationError(_("The largest limit is %s.") % f"{largest:,}", code="large")
    return stored


class EndUserBudgetForm(BudgetForm):
    """A budget for one end user of a tenant, or for each."""

    end_user = forms.CharField(
        label=gettext_lazy("end user"),
        required=False,
        max_length=256,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("What requests give as “user”. Empty: each end user has it for himself."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["end_user"].widget.attrs["placeholder"] = _("each end user")
        if self.instance.pk:
            name = self.instance.scope.end_user
            self.initial["end_user"] = "" if name == EACH else name


class BudgetFormSet(PaginationFormSetMixin, BaseModelFormSet):
    """The budgets of one owner."""

    instance: Any

    def __init__(self, data: Any = None, files: Any = None, instance: Any = None, **kwargs: Any) -> None:
        self.instance = instance
        kwargs.pop("save_as_new", None)
        queryset = kwargs.pop("queryset", None)
        kwargs["queryset"] = self.of_owner(Budget.objects.all() if queryset is None else queryset)
        super().__init__(data=data, files=files, **kwargs)

    @classmethod
    def get_default_prefix(cls) -> str:
        return "budgets"

    def of_owner(self, budgets: QuerySet) -> QuerySet:
        """Those of the budgets that are the owner's."""
        if self.instance is None or self.instance.pk is None:
            return budgets.none()
        return self.those_of(self.instance, budgets)

    @classmethod
    def those_of(cls, owner: Any, budgets: QuerySet) -> QuerySet:
        """Those of the budgets that a formset of this sort has for the owner."""
        kind, field = _FIELDS[type(owner)]
        return budgets.filter(Q(**{f"scope__{field}": owner}), scope__kind=kind)

    def scope_for(self, form: Any) -> BudgetScope:
        """The scope that the form's budget belongs to."""
        return scope_of(self.instance)

    def clean(self) -> None:
        super().clean()
        kept = [form for form in self.forms if self._is_kept(form)]
        mine = [form.instance.pk for form in self.initial_forms]
        taken = set(self.of_owner(Budget.objects.exclude(pk__in=mine)).values_list("scope__end_user", "unit", "window"))
        for form in kept:
            data = form.cleaned_data
            name = (data.get("end_user") or EACH) if "end_user" in form.fields else ""
            identity = (name, data["unit"], data["window"])
            if identity in taken:
                form.add_error("window", _("There is a budget in this unit for this window already."))
            taken.add(identity)

    def _is_kept(self, form: Any) -> bool:
        if form in self.deleted_forms:
            return False
        # A row without an id and without a change is an empty one, or one of others, or made up.
        if form.instance.pk is None and not form.has_changed():
            return False
        return bool(form.is_valid())

    def save(self, commit: bool = True) -> Any:
        with transaction.atomic():
            return super().save(commit)

    def save_existing_objects(self, commit: bool = True) -> Any:
        """Save the changed rows; those that leave their window, or go, are taken away first: another may take its place."""
        forms_there: list[Any] = self.initial_forms
        # What has not changed for this person was not theirs to move, whatever the data says of it.
        gone = [form for form in forms_there if form in self.deleted_forms or (form.has_changed() and form.is_moved)]
        moved = [form.instance.pk for form in gone]
        Budget.objects.filter(pk__in=moved).delete()
        return super().save_existing_objects(commit)

    def save_existing(self, form: Any, obj: Any, commit: bool = True) -> Any:
        if form.is_moved:
            obj.scope = self.scope_for(form)
            obj.counted_from = now()
        return form.save(commit=commit)

    def save_new(self, form: Any, commit: bool = True) -> Any:
        form.instance.scope = self.scope_for(form)
        return super().save_new(form, commit)


class EndUserBudgetFormSet(BudgetFormSet):
    """The budgets of a tenant's end users."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        add_highest([budget for budget in self.get_queryset() if hasattr(budget, "used")])

    @classmethod
    def get_default_prefix(cls) -> str:
        return "end-user-budgets"

    @classmethod
    def those_of(cls, owner: Any, budgets: QuerySet) -> QuerySet:
        return budgets.filter(scope__tenant=owner, scope__kind=BudgetScope.Kind.END_USER)

    def scope_for(self, form: Any) -> BudgetScope:
        return scope_of(self.instance, form.cleaned_data["end_user"] or EACH)
