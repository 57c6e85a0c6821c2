"""Worker side. Whether ENCRYPTION_KEYS open every sealed value."""

from django.apps import apps
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from smartrouter.doctor.finding import Finding, Level
from smartrouter.lib.sealing import SealBroken, Sealed, SealedField

NAMED_AT_MOST = 10


def check_sealed() -> list[Finding]:
    """How many sealed values there are, and those that cannot be opened, by name."""
    count, broken = 0, list[str]()
    for model in apps.get_models():
        fields = [field.attname for field in model._meta.concrete_fields if isinstance(field, SealedField)]
        if not fields:
            continue
        for row in model._default_manager.all().iterator():
            values = [(field, getattr(row, field)) for field in fields]
            sealed = [(field, value) for field, value in values if isinstance(value, Sealed)]
            count += len(sealed)
            broken += [f"{row} ({field})" for field, value in sealed if not _opens(row, value)]
    subject = _("sealed values")
    if not broken:
        return [Finding(Level.OK, subject, ngettext("%d can be opened", "all %d can be opened", count) % count)]
    named = ", ".join(broken[:NAMED_AT_MOST]) + ("…" if len(broken) > NAMED_AT_MOST else "")
    text = _("%(broken)d of %(count)d cannot be opened: %(names)s") % {
        "broken": len(broken),
        "count": count,
        "names": named,
    }
    advice = _("Put the old key back into ENCRYPTION_KEYS, or type these in anew.")
    return [Finding(Level.PROBLEM, subject, text, advice)]


def _opens(row: models.Model, value: Sealed) -> bool:
    try:
        value.open(row.uid)  # type: ignore[attr-defined]  # every model with a SealedField has one
    except SealBroken:
        return False
    return True
