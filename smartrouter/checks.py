"""Worker side. System checks: a setting that is wrong or missing is one sentence that says what to do."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.utils.translation import gettext as _


def wrong_settings() -> list[str]:
    """A sentence for each setting that is wrong or missing: for whoever starts without Django's checks."""
    return [f"{problem.msg} {problem.hint or ''}".strip() for problem in (*check_settings(), *check_secrets())]


@register()
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """E001: a value that could not be read."""
    return [
        Error(_("%(name)s is wrong: %(reason)s.") % {"name": name, "reason": reason}, id="smartrouter.E001")
        for name, reason in settings.SETTINGS_PROBLEMS
    ]


@register()
def check_secrets(**kwargs: Any) -> list[CheckMessage]:
    """E002: a secret that is missing."""
    if not settings.MISSING_SECRETS:
        return []
    hint = (
        _("Set it in the environment; every process and host needs the same value.")
        if settings.SERVER_MODE
        else _("Run “make run” once, which generates it, or set it in the environment.")
    )
    return [Error(_("%s is not set.") % name, hint=hint, id="smartrouter.E002") for name in settings.MISSING_SECRETS]
