"""Worker side. The admin: one module for each room, imported here so that Django's autodiscovery registers them all."""

from django.contrib import admin
from django.contrib.auth.models import Group

from smartrouter.admin import (
    billing,
    budgets,
    channels,
    keys,
    offerings,
    processes,
    providers,
    routerkeys,
    routing,
    tenants,
    users,
)

__all__ = [
    "billing", "budgets", "channels", "keys", "offerings", "processes", "providers", "routerkeys", "routing", "tenants",
    "users",
]  # fmt: skip

# Roles are memberships in tenants; Django's groups would be a second, unused notion of the same.
admin.site.unregister(Group)
