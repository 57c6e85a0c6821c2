"""Worker side. What of the admin is open to those who are no operators: everything else does not exist for them.

A page that is not named in OPEN_PAGES answers 404, and so does what they may not do on a page that is: nothing tells apart
what is forbidden from what is not there.
"""

from collections.abc import Callable
from typing import Any

from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, Field, Model, OuterRef, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase

from providers.models import Provider, ProviderModel
from smartrouter.accounts.models import Membership, Tenant, User
from smartrouter.admin.tenancy import Viewpoint, tops_of, viewpoint_of

_SITE = ["index", "app_list", "search", "autocomplete", "jsi18n", "logout", "password_change", "password_change_done"]
_EDITED = ["accounts_tenant", "accounts_routerkey", "channels_channel"]
_READ = ["billing_usagerecord", "billing_usagehour", "billing_budget"]
_OF_KEYS = ["accounts_routerkey_rotate", "accounts_routerkey_end_previous"]
# By URL name.
OPEN_PAGES = frozenset(
    [
        *_SITE,
        *_OF_KEYS,
        *(f"{model}_{page}" for model in _EDITED for page in ("changelist", "add", "change", "history")),
        *(f"{model}_{page}" for model in _READ for page in ("changelist", "change")),
    ]
)


def pass_gate(
    request: HttpRequest, view: Callable[..., HttpResponseBase], args: Any, kwargs: dict[str, Any]
) -> HttpResponseBase:
    """The view's answer. Raises Http404 for what is not open to the request's user."""
    if viewpoint_of(request).is_operator:
        return view(request, *args, **kwargs)
    if not _is_open(request):
        raise Http404
    try:
        return view(request, *args, **kwargs)
    except PermissionDenied as e:
        raise Http404 from e


def _is_open(request: HttpRequest) -> bool:
    """Whether the page is open to tenants' people; also the site's last address, which only adds a missing slash."""
    match = request.resolver_match
    return match is not None and (match.url_name in OPEN_PAGES or (match.url_name is None and "url" in match.kwargs))


def choices_of(view: Viewpoint, field: Field) -> QuerySet:
    """The rows that may stand in a foreign key that somebody of a tenant edits; none for a key that is not listed here."""
    model: type[Model] = field.related_model  # type: ignore[assignment]  # a foreign key has one
    choose = _CHOICES.get(_label(field))
    return choose(view) if choose else model._default_manager.none()


def users_of(view: Viewpoint, tenant_id: int | None = None) -> QuerySet[User]:
    """The users with a membership in a tenant that the viewpoint administers; of the given tenant's tree alone."""
    tenants = view.administered
    if tenant_id is not None:
        tops = tops_of({*tenants, tenant_id})
        tenants = frozenset(pk for pk in tenants if tops[pk] == tops[tenant_id])
    theirs = Membership.objects.filter(user=OuterRef("pk"), tenant__in=tenants)
    return User.objects.filter(Exists(theirs))


def id_of_page(request: HttpRequest) -> int | None:
    """The id of the row whose page is asked for; None on others."""
    found = str(request.resolver_match.kwargs.get("object_id", "")) if request.resolver_match else ""
    return int(found) if found.isdecimal() and len(found) < 19 else None


def _label(field: Field) -> str:
    return f"{field.model._meta.label_lower}.{field.name}"


_CHOICES: dict[str, Callable[[Viewpoint], QuerySet]] = {
    "accounts.tenant.parent": lambda view: Tenant.objects.filter(pk__in=view.administered),
    "accounts.membership.user": users_of,
    "accounts.routerkey.tenant": lambda view: Tenant.objects.filter(pk__in=view.managed),
    "accounts.routerkey.owner": users_of,
    "channels.channel.owner": lambda view: Tenant.objects.filter(pk__in=view.administered),
    "channels.channel.provider": lambda view: (
        Provider.objects.filter(is_active=True) if view.administered else Provider.objects.none()
    ),
    "channels.offering.provider_model": lambda view: (
        ProviderModel.objects.filter(is_active=True, provider__is_active=True).select_related("provider")
        if view.administered
        else ProviderModel.objects.none()
    ),
}
# Searched by names alone: an e-mail address, or what else an operator may search by, is not theirs to guess.
_SEARCHED = {Tenant: ("name", "display_name"), User: ("username",), Provider: ("name",), ProviderModel: ("name",)}


class ChoicesView(AutocompleteJsonView):
    """The autocompletion of the admin's foreign keys; for people of tenants, of what they may choose."""

    def has_perm(self, request: HttpRequest, obj: Any = None) -> bool:
        """Operators: as Django says. Others: by choices_of."""
        if viewpoint_of(request).is_operator:
            return bool(super().has_perm(request, obj))
        return _label(self.source_field) in _CHOICES

    def get_queryset(self) -> QuerySet:
        view = viewpoint_of(self.request)
        if view.is_operator:
            rows: QuerySet = super().get_queryset()
            return rows
        rows = choices_of(view, self.source_field)
        if rows.model is ProviderModel:
            provider = self.request.GET.get("of_provider", "")
            rows = rows.filter(provider=provider) if provider.isdecimal() and len(provider) < 19 else rows
        found = Q()
        for name in _SEARCHED[rows.model]:
            found |= Q(**{f"{name}__icontains": self.term})
        return rows.filter(found).order_by(_SEARCHED[rows.model][0], "pk")
