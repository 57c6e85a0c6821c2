"""Worker side. The history of a row for tenants' people: without what inlines that they do not see have gone through, and
without the names of those who are not in their tree."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.admin.views.main import PAGE_VAR
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import override

from smartrouter.accounts.models import User
from smartrouter.admin.tenancy import Viewpoint

_PER_PAGE = 100


def names_of(inlines: Sequence[Any]) -> frozenset[str]:
    """What entries call the rows of the inlines: they are written without a language."""
    with override(None):
        return frozenset(str(inline.model._meta.verbose_name) for inline in inlines)


def history_for(
    view: Viewpoint, entries: Sequence[LogEntry], inlines: Collection[str], request: HttpRequest
) -> dict[str, Any]:
    """The context of the history's page; inlines: the names of those that the viewpoint sees on the row's page."""
    shown = [entry for entry in entries if _keep_parts(entry, inlines)]
    authors = {entry.user_id for entry in shown}
    known = User.objects.filter(memberships__tenant__in=view.tenants, pk__in=authors)
    names = set(known.values_list("pk", flat=True))
    for entry in shown:
        if entry.user_id not in names:
            entry.user = User(username=_("somebody else"))
    pages = Paginator(shown, _PER_PAGE)
    page = pages.get_page(request.GET.get(PAGE_VAR, 1))
    return {
        "action_list": page,
        "page_range": pages.get_elided_page_range(page.number),
        "pagination_required": pages.count > _PER_PAGE,
    }


def _keep_parts(entry: LogEntry, inlines: Collection[str]) -> bool:
    """Whether something of the entry is shown; the rest is taken out of it."""
    try:
        parts = json.loads(entry.change_message or "[]")
    except ValueError:
        return False  # free text, of which nobody can say what it tells
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        return False
    kept = [part for part in parts if all(_is_seen(what, inlines) for what in part.values())]
    entry.change_message = json.dumps(kept)
    return bool(kept) or not parts


def _is_seen(what: Any, inlines: Collection[str]) -> bool:
    name = what.get("name") if isinstance(what, dict) else None
    return name is None or name in inlines
