"""Worker side. The register of web processes: who serves, since when, and who has ended with usage still to be counted."""

import socket

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.timezone import localtime, now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from routing.models import WebProcess
from routing.register import is_dead, is_lost, lost_places
from smartrouter.admin.billing import ReadOnlyAdmin
from smartrouter.admin.labels import label


@admin.register(WebProcess)
class WebProcessAdmin(ReadOnlyAdmin):
    list_display = ["host", "pid", "state", "heard_of", "since", "data_folder"]
    list_display_links = None
    ordering = ["host", "pid"]
    fields = ["uid", "host", "pid", "data_folder", "started_at", "heartbeat_at", "left_at", "released_at"]
    actions = ["release"]  # type: ignore[assignment]  # the one thing that can be done to these rows

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Each row with the last heartbeat of its place, by which a lost host is known."""
        of_place = WebProcess.objects.filter(host=OuterRef("host"), data_folder=OuterRef("data_folder"))
        last = of_place.order_by("-heartbeat_at").values("heartbeat_at")[:1]
        rows: QuerySet = super().get_queryset(request).annotate(place_heard_at=Subquery(last))
        return rows

    def has_release_permission(self, request: HttpRequest) -> bool:
        """Only those who run the platform give up a host."""
        return bool(request.user.is_active and getattr(request.user, "is_superuser", False))

    @admin.display(description=gettext_lazy("state"))
    def state(self, process: WebProcess) -> SafeString:
        if not is_dead(process, socket.gethostname()):
            return label(_("serving"), "success")
        if process.released_at is not None:
            return label(_("released"), "info", _("What it had claimed of budgets does not count any more."))
        if is_lost(process, getattr(process, "place_heard_at", process.heartbeat_at)):
            explained = _("Nothing is heard of this host. What the process had claimed of budgets counts as spent.")
            return label(_("lost host"), "danger", explained)
        waits = _("It leaves the list when all of its usage is in the database: the ingester of its host sees to that.")
        return label(_("ended, waiting for its usage"), "warning", waits)

    @admin.display(description=gettext_lazy("last heartbeat"))
    def heard_of(self, process: WebProcess) -> str:
        seconds = max(0, int((now() - process.heartbeat_at).total_seconds()))
        return _("%d s ago") % seconds if seconds < 120 else _("%d min ago") % (seconds // 60)

    @admin.display(description=gettext_lazy("started at"), ordering="started_at")
    def since(self, process: WebProcess) -> str:
        return date_format(localtime(process.started_at), "Y-m-d H:i:s")

    @admin.action(description=gettext_lazy("Release what it has claimed"), permissions=["release"])
    def release(self, request: HttpRequest, queryset: QuerySet) -> TemplateResponse | None:
        """The page that asks whether to, or None when it is done."""
        lost = lost_places(WebProcess.objects.all())
        rows = [row for row in queryset.filter(released_at=None) if (row.host, row.data_folder) in lost]
        if not rows:
            text = _("Only processes of lost hosts can be released, once.")
            self.message_user(request, text, messages.WARNING)
            return None
        if request.POST.get("post") != "yes":
            context = {
                **self.admin_site.each_context(request),
                "title": _("Release what lost hosts have claimed"),
                "opts": self.model._meta,
                "rows": rows,
                "checkbox_name": ACTION_CHECKBOX_NAME,
            }
            return TemplateResponse(request, "admin/routing/webprocess/release.html", context)
        released = WebProcess.objects.filter(pk__in=[row.pk for row in rows], released_at=None)
        released.update(released_at=now())
        for row in rows:
            self.log_change(request, row, [{"changed": {"fields": ["released_at"]}}])
        done = ngettext("%(count)d process was released.", "%(count)d processes were released.", len(rows))
        self.message_user(request, done % {"count": len(rows)}, messages.SUCCESS)
        return None
