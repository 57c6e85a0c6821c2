"""The admin as a Django app, with our own site.

Beside the smartrouter.admin package and not in it: Django reads this before any model is loaded.
"""

from django.contrib.admin.apps import AdminConfig


class SmartRouterAdminConfig(AdminConfig):
    default = False
    default_site = "smartrouter.adminsite.SmartRouterAdminSite"
