"""Worker side. A list that pages by primary key, newest first, and never counts: each page costs the same."""

from typing import Any

from django.contrib.admin.views.main import PAGE_VAR
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.views import ChangeList

from smartrouter.admin.tenancy import viewpoint_of

# So many rows at most are read to find those that a filter without an index asks for; the next page goes on from there.
SCANNED_ROWS_AT_MOST = 100_000


class Found(Paginator):
    """The one page that was read."""

    template_name = "admin/keyset_pagination.html"


class KeysetChangeList(ChangeList):
    """The rows before or after a primary key, which the page's address carries: ?p=before.KEY or ?p=after.KEY.

    A model admin names in indexed_filters the parameters that an index together with the primary key serves.
    """

    newer_url: str | None = None
    older_url: str | None = None

    def get_results(self, request: HttpRequest) -> None:
        """Read one page. At most two queries: the rows, and where a slow filter has to stop."""
        self.is_of_tree = not viewpoint_of(request).is_operator
        side, key = self._cursor(request.GET.get(PAGE_VAR, ""))
        rows, has_more, edge = self._read(side, key)
        if side == "after" and not has_more and edge is None:
            side, key = "", None  # the newest page, full
            rows, has_more, edge = self._read(side, key)
        if side == "after":
            rows.reverse()
            self.older_url = self._url("before", rows[-1].pk if rows else key)
            self.newer_url = self._url("after", rows[0].pk if has_more else edge)
        else:
            further = rows[-1].pk if has_more else edge
            self.older_url = self._url("before", further) if further is not None else None
            if side == "before":
                self.newer_url = self._url("after", rows[0].pk) if rows else self.get_query_string({})
        self.is_cut_short = edge is not None and not has_more
        self.result_list = rows
        self.result_count = self.full_result_count = len(rows)
        self.show_full_result_count = self.show_admin_actions = False
        self.can_show_all = self.multi_page = False
        self.paginator = Found(rows, self.list_per_page)

    def _read(self, side: str, key: Any) -> tuple[list[Any], bool, Any]:
        """The page's rows in reading direction, whether there are more, where the search stopped (None: nowhere)."""
        rows, edge = self._beside(self.queryset, side, key), None
        if self._is_slow():
            keys = self._beside(self.model._default_manager.all(), side, key).values_list("pk", flat=True)
            edge = next(iter(keys[SCANNED_ROWS_AT_MOST : SCANNED_ROWS_AT_MOST + 1]), None)
            if edge is not None:
                rows = rows.filter(pk__lte=edge) if side == "after" else rows.filter(pk__gte=edge)
        found = list(rows[: self.list_per_page + 1])
        return found[: self.list_per_page], len(found) > self.list_per_page, edge

    def _beside(self, rows: QuerySet, side: str, key: Any) -> QuerySet:
        if side == "after":
            return rows.filter(pk__gt=key).order_by("pk")
        return (rows.filter(pk__lt=key) if side == "before" else rows).order_by("-pk")

    def _is_slow(self) -> bool:
        """Whether the filters in use are more than one index can serve; a tree of tenants alone is no index."""
        used = {name for name, values in self.get_filters_params().items() if any(values)}
        if self.is_of_tree and "tenant" not in used:
            return True
        return bool(used - set(self.model_admin.indexed_filters)) or len(used) > 1

    def _cursor(self, text: str) -> tuple[str, Any]:
        side, _dot, key = text.partition(".")
        if side not in ("before", "after"):
            return "", None
        try:
            return side, self.lookup_opts.pk.to_python(key)
        except ValidationError:
            return "", None

    def _url(self, side: str, key: Any) -> str:
        return str(self.get_query_string({PAGE_VAR: f"{side}.{key}"}))
