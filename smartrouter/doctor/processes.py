"""Worker side. Web processes that have ended and whose usage is not counted yet."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from billing.ingest.folder import spool_files
from billing.spool import read_lines, spool_path
from routing.models import WebProcess
from routing.register import is_here, lost_places, processes, undrained_uids
from smartrouter.doctor.finding import Finding, Level

# An ingester takes in what an ended process left within seconds.
WAITS_AT_MOST = timedelta(minutes=5)


def check_processes() -> list[Finding]:
    """Lost hosts, whose claims on budgets nobody settles, and spools of ended processes that nobody reads."""
    rows = list(WebProcess.objects.all())
    living = {process.uid for process in processes() if process.is_live}
    lost = lost_places(row for row in rows if row.released_at is None)
    advice = _(
        "Start its ingester again with the same host name and data folder; if it is gone for good, "
        "release it on the admin's page of web processes."
    )
    subject = _("web processes")
    findings = [
        Finding(
            Level.PROBLEM, subject, _("nothing is heard of %(host)s (%(folder)s)") % {"host": h, "folder": f}, advice
        )
        for h, f in sorted(lost)
    ]
    ended = [row for row in rows if row.pk.hex not in living and is_here(row)]
    undrained = undrained_uids() if ended else set()
    waiting = [row for row in ended if row.pk.hex in undrained and now() - row.heartbeat_at > WAITS_AT_MOST]
    kept = unreadable_files(settings.SPOOL_DIR, {row.pk.hex for row in waiting})
    findings += [_kept(path) for paths in kept.values() for path in paths]
    waiting = [row for row in waiting if row.pk.hex not in kept]
    if waiting:
        text = ngettext(
            "the usage of %(count)d ended process waits in %(folder)s",
            "the usage of %(count)d ended processes waits in %(folder)s",
            len(waiting),
        )
        advice = _("Run “manage.py ingest” here, and look for errors in its log.")
        about = {"count": len(waiting), "folder": settings.SPOOL_DIR}
        findings.append(Finding(Level.WARNING, subject, text % about, advice))
    return findings or [Finding(Level.OK, subject, _("%d serving, none waits to be counted") % len(living))]


def unreadable_files(folder: Path, uids: Iterable[str]) -> dict[str, list[Path]]:
    """The spool files of these processes in which there is a line that this version cannot read."""
    found: dict[str, list[Path]] = {}
    seqs = spool_files(folder) if folder.exists() else {}
    for uid in sorted(uids):
        paths = [spool_path(folder, uid, seq) for seq in seqs.get(uid, [])]
        unreadable = [path for path in paths if _has_unknown_lines(path)]
        if unreadable:
            found[uid] = unreadable
    return found


def _has_unknown_lines(path: Path) -> bool:
    offset = -1
    following = 0
    try:
        while following != offset:
            offset = following
            chunk = read_lines(path, offset)
            if chunk.unknown:
                return True
            following = chunk.offset
    except FileNotFoundError:
        pass  # an ingester has just finished it
    return False


def _kept(path: Path) -> Finding:
    text = _("%(file)s has lines that this version cannot read; what its process had claimed of budgets stays claimed")
    advice = _("A newer version wrote it: run that version's “manage.py ingest” here.")
    return Finding(Level.WARNING, _("web processes"), text % {"file": path}, advice)
