"""The house itself as a Django app: commands, checks and the admin."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SmartRouterConfig(AppConfig):
    name = "smartrouter"
    verbose_name = _("SmartRouter")

    def ready(self) -> None:
        from smartrouter import checks  # noqa: F401  (registers the system checks)
