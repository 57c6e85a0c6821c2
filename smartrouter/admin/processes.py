"""Worker side. The register of web processes: who serves, since when, and when it was last heard of."""

import socket

from django.contrib import admin
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.timezone import localtime, now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from routing.models import WebProcess
from routing.register import is_dead
from smartrouter.admin.billing import ReadOnlyAdmin
from smartrouter.admin.labels import label


@admin.register(WebProcess)
class WebProcessAdmin(ReadOnlyAdmin):
    list_display = ["host", "pid", "state", "heard_of", "since", "data_folder"]
    list_display_links = None
    ordering = ["host", "pid"]
    fields = ["uid", "host", "pid", "data_folder", "started_at", "heartbeat_at"]

    @admin.display(description=gettext_lazy("state"))
    def state(self, process: WebProcess) -> SafeString:
        if is_dead(process, socket.gethostname()):
            return label(_("gone"), "danger", _("It leaves the list when the next web process starts."))
        return label(_("serving"), "success")

    @admin.display(description=gettext_lazy("last heartbeat"))
    def heard_of(self, process: WebProcess) -> str:
        seconds = max(0, int((now() - process.heartbeat_at).total_seconds()))
        return _("%d s ago") % seconds if seconds < 120 else _("%d min ago") % (seconds // 60)

    @admin.display(description=gettext_lazy("started at"), ordering="started_at")
    def since(self, process: WebProcess) -> str:
        return date_format(localtime(process.started_at), "Y-m-d H:i:s")
