"""Worker side. The admin of users, for operators only."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from smartrouter.accounts.models import User
from smartrouter.admin.budgets import BudgetInline
from smartrouter.admin.tenants import MembershipInline


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    list_display = ["username", "email", "full_name", "shown_tenants", "is_superuser", "is_active", "last_login"]
    list_filter = [("is_superuser", BooleanRadioFilter), ("is_active", BooleanRadioFilter)]
    search_fields = ["username", "email", "first_name", "last_name"]
    readonly_fields = ["last_login", "date_joined"]
    fieldsets = [
        (None, {"fields": ["username", "password"]}),
        (gettext_lazy("Personal details"), {"fields": ["first_name", "last_name", "email"]}),
        (
            gettext_lazy("Access"),
            {
                "fields": ["is_active", "is_superuser"],
                "description": gettext_lazy(
                    "Active users sign in here: members of an active tenant for what is theirs, superusers for everything."
                ),
            },
        ),
        (gettext_lazy("Dates"), {"classes": ["collapse"], "fields": ["last_login", "date_joined"]}),
    ]
    # Without Django's choice to have no password: nobody could sign in by another way.
    add_fieldsets = [(None, {"fields": ["username", "password1", "password2"]})]
    inlines = [MembershipInline, BudgetInline]
    list_filter_submit = True
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    filter_horizontal = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows: QuerySet = super().get_queryset(request).prefetch_related("memberships__tenant")
        return rows

    @admin.display(description=gettext_lazy("name"))
    def full_name(self, user: User) -> str:
        return user.get_full_name() or "-"

    @admin.display(description=gettext_lazy("tenants"))
    def shown_tenants(self, user: User) -> str:
        return ", ".join(str(membership.tenant) for membership in user.memberships.all()) or "-"
