"""Worker side. Pages of the admin that are open to tenants' people: rows, fields, choices and actions of their tree alone.

For operators only: a page that is not built on TreeAdmin, an inline that is not built on TreeInline, an action that is not
named in tree_actions, a foreign key that is not listed in tenancy_gate. Operators see every page as its class says.
"""

from collections.abc import Callable
from typing import Any

from django.contrib.admin.options import InlineModelAdmin
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import ForeignKey, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import DropdownFilter

from smartrouter.admin.tenancy import Access, Viewpoint, viewpoint_of
from smartrouter.admin.tenancy_gate import choices_of
from smartrouter.admin.tenancy_history import history_for, names_of


class TreeFilter(DropdownFilter):
    """The rows of one tenant of those that the viewpoint sees; tenant_field names the column with the tenant's id."""

    tenant_field = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        view = viewpoint_of(request)
        return sorted(((str(pk), name) for pk, name in view.names.items()), key=lambda choice: choice[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        pk = str(self.value() or "")
        return queryset.filter(**{self.tenant_field: int(pk)}) if pk.isdecimal() and len(pk) < 19 else queryset


class TreeInline(InlineModelAdmin):
    """An inline that tenants' people may get too: what they may do in it follows from the row whose page it stands on."""

    # Whether it also stands on the page that adds a row, and whether its rows may be deleted.
    is_on_add_page_of_tree = False
    can_delete_in_tree = True
    # How many rows a form may have beside those that are there: each takes its time, whether it is filled in or not.
    max_more = 100

    def access_of(self, view: Viewpoint, parent: Any) -> Access:
        """What the viewpoint may do in the inline on the parent's page; None: on the page that adds a parent."""
        raise NotImplementedError

    def _access(self, request: HttpRequest, parent: Any) -> Access:
        return self.access_of(viewpoint_of(request), parent)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if viewpoint_of(request).is_operator:
            return bool(super().has_view_permission(request, obj))
        # Without a parent Django asks about the rows of an inline that it has made already, by access to its parent.
        return obj is None or self._access(request, obj) >= Access.VIEW

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if viewpoint_of(request).is_operator:
            return bool(super().has_change_permission(request, obj))
        return self._access(request, obj) >= Access.CHANGE

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if viewpoint_of(request).is_operator:
            return bool(super().has_add_permission(request, obj))
        return self._access(request, obj) >= Access.CHANGE

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if viewpoint_of(request).is_operator:
            return bool(super().has_delete_permission(request, obj))
        return self.can_delete_in_tree and self._access(request, obj) >= Access.CHANGE

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        return super().get_formset(request, obj, **{**self.bounds_of(request, obj), **kwargs})

    def bounds_of(self, request: HttpRequest, parent: Any) -> dict[str, int]:
        """How many rows a posted form may have."""
        if request.method != "POST":
            return {}
        most = self.max_more + (self.count_rows(parent) if parent is not None else 0)
        return {"max_num": most, "absolute_max": most}

    def count_rows(self, parent: Any) -> int:
        """How many rows the parent has."""
        keys = [field for field in self.model._meta.concrete_fields if field.related_model is self.parent_model]
        return int(self.model._default_manager.filter(**{keys[0].name: parent}).count())

    def formfield_for_foreignkey(self, db_field: ForeignKey, request: HttpRequest, **kwargs: Any) -> Any:
        view = viewpoint_of(request)
        if not view.is_operator:
            kwargs["queryset"] = choices_of(view, db_field)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class TreeAdmin(ModelAdmin):
    """A page that is open to tenants' people. What the class says elsewhere is for operators; tree_* is for the others."""

    tree_list_display: list[Any] = []
    tree_list_filter: list[Any] = []
    tree_search_fields: list[str] = []
    tree_search_help_text: Any = None  # where it differs
    tree_actions: tuple[str, ...] = ()
    # Parameters of the list's address beside those of search, order and page.
    tree_lookups: frozenset[str] = frozenset()
    # Foreign keys that an operator may leave empty, and others must not.
    tree_required: frozenset[str] = frozenset()

    def access_of(self, view: Viewpoint, row: Any) -> Access:
        """What somebody of a tenant may do with the row; None: with any. Rows outside the tree do not come here."""
        raise NotImplementedError

    def rows_of_tree(self, view: Viewpoint, rows: QuerySet) -> QuerySet:
        """Those of the rows that the viewpoint sees."""
        raise NotImplementedError

    def may_add(self, view: Viewpoint) -> bool:
        """Whether somebody of a tenant may add rows."""
        return False

    def may_switch(self, view: Viewpoint, row: Any) -> bool:
        """Whether somebody of a tenant may switch the row on and off."""
        return self.access_of(view, row) >= Access.CHANGE

    def get_tree_fieldsets(self, view: Viewpoint, row: Any) -> Any:
        """The parts of the row's page for somebody of a tenant; None: of the page that adds one."""
        raise NotImplementedError

    def get_tree_readonly(self, view: Viewpoint, row: Any) -> list[str]:
        """The fields that somebody of a tenant only reads; None: on the page that adds one."""
        return []

    def has_module_permission(self, request: HttpRequest) -> bool:
        view = viewpoint_of(request)
        if view.is_operator:
            return bool(super().has_module_permission(request))
        return self.access_of(view, None) >= Access.VIEW

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        view = viewpoint_of(request)
        if view.is_operator:
            return bool(super().has_view_permission(request, obj))
        return self.access_of(view, obj) >= Access.VIEW

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        view = viewpoint_of(request)
        if view.is_operator:
            return bool(super().has_change_permission(request, obj))
        return self.access_of(view, obj) >= Access.CHANGE

    def has_add_permission(self, request: HttpRequest) -> bool:
        view = viewpoint_of(request)
        return bool(super().has_add_permission(request)) if view.is_operator else self.may_add(view)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return viewpoint_of(request).is_operator and bool(super().has_delete_permission(request, obj))

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        view, rows = viewpoint_of(request), super().get_queryset(request)
        return rows if view.is_operator else self.rows_of_tree(view, rows)

    def get_list_display(self, request: HttpRequest) -> Any:
        return super().get_list_display(request) if viewpoint_of(request).is_operator else self.tree_list_display

    def get_list_filter(self, request: HttpRequest) -> Any:
        return super().get_list_filter(request) if viewpoint_of(request).is_operator else self.tree_list_filter

    def get_search_fields(self, request: HttpRequest) -> Any:
        return super().get_search_fields(request) if viewpoint_of(request).is_operator else self.tree_search_fields

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        page = super().get_changelist_instance(request)
        if self.tree_search_help_text and not viewpoint_of(request).is_operator:
            page.search_help_text = self.tree_search_help_text
        return page

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """For tenants' people only the page's own filters: any other could ask about rows of others."""
        if request is not None and viewpoint_of(request).is_operator:
            return bool(super().lookup_allowed(lookup, value, request))
        return lookup in self.tree_lookups

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:
        if viewpoint_of(request).is_operator:
            return bool(super().to_field_allowed(request, to_field))
        return to_field == str(self.opts.pk.name)

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        if viewpoint_of(request).is_operator:
            return actions
        return {name: action for name, action in actions.items() if name in self.tree_actions}

    def switchable(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Those of the selected rows that the user may switch on and off."""
        view = viewpoint_of(request)
        if view.is_operator:
            return queryset
        return queryset.filter(pk__in=[row.pk for row in queryset if self.may_switch(view, row)])

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        view = viewpoint_of(request)
        return super().get_fieldsets(request, obj) if view.is_operator else self.get_tree_fieldsets(view, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        view = viewpoint_of(request)
        return super().get_readonly_fields(request, obj) if view.is_operator else self.get_tree_readonly(view, obj)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The form; for tenants' people without what a form class declares and their page does not show."""
        form = super().get_form(request, obj, change, **kwargs)
        form.view = viewpoint_of(request)  # a class made for this request
        if not form.view.is_operator:
            shown = set(flatten_fieldsets(self.get_fieldsets(request, obj)))
            for name in [name for name in form.base_fields if name not in shown]:
                del form.base_fields[name]
        return form

    def get_inline_instances(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        inlines: list[Any] = super().get_inline_instances(request, obj)
        if viewpoint_of(request).is_operator:
            return inlines
        open_ones = [inline for inline in inlines if isinstance(inline, TreeInline)]
        return [inline for inline in open_ones if obj is not None or inline.is_on_add_page_of_tree]

    def formfield_for_foreignkey(self, db_field: ForeignKey, request: HttpRequest, **kwargs: Any) -> Any:
        view = viewpoint_of(request)
        if not view.is_operator:
            kwargs["queryset"] = choices_of(view, db_field)
            if db_field.name in self.tree_required:
                kwargs["required"] = True
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The row's history; for tenants' people what history_for leaves of it."""
        page: HttpResponse = super().history_view(request, object_id, extra_context)
        view, context = viewpoint_of(request), getattr(page, "context_data", None) or {}
        if not view.is_operator and "action_list" in context:
            row = context["object"]
            seen = [
                inline for inline in self.get_inline_instances(request, row) if inline.has_view_permission(request, row)
            ]
            context.update(history_for(view, context["action_list"].paginator.object_list, names_of(seen), request))
        return page

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        """Django's way back to the first page, with a message; for tenants' people there is nothing."""
        if viewpoint_of(request).is_operator:
            way: HttpResponse = super()._get_obj_does_not_exist_redirect(request, opts, object_id)
            return way
        raise Http404


def mapped(fieldsets: Any, names: Callable[[str], str | None]) -> list[Any]:
    """The fieldsets with each field's name as the function says, without those that it gives None for."""
    found = []
    for title, part in fieldsets:
        rows = []
        for row in part["fields"]:
            kept = [new for name in ([row] if isinstance(row, str) else row) if (new := names(name)) is not None]
            if kept:
                rows.append(kept[0] if len(kept) == 1 else tuple(kept))
        if rows:
            found.append((title, {**part, "fields": rows}))
    return found
