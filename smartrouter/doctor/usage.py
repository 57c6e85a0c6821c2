"""Worker side. The web process, the usage spool and its ingester."""

import tempfile
import time
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from billing.ingest import backlog, is_ingester_running
from billing.ingest.folder import spool_files
from billing.spool import spool_path
from smartrouter.doctor.finding import Finding, Level
from smartrouter.lib.reasons import system_reason
from smartrouter.reach import address_of, web_answers

# The ingester takes a file that is full within seconds; one that has waited this long shows that it cannot keep up.
WAITS_AT_MOST_S = 120


def check_web() -> list[Finding]:
    """Whether the web process answers."""
    address = address_of(settings.HOST, settings.PORT)
    if web_answers(settings.HOST, settings.PORT):
        return [Finding(Level.OK, _("web"), _("%s/health answers") % address)]
    advice = _("Start it with “make run”; if it runs elsewhere, set HOST and PORT here as there.")
    return [Finding(Level.WARNING, _("web"), _("%s/health does not answer") % address, advice)]


def check_spool() -> list[Finding]:
    """Whether usage can be recorded and reaches the database."""
    folder, subject = settings.SPOOL_DIR, _("usage spool")
    if not folder.is_dir():
        return [Finding(Level.WARNING, subject, _("%s is not there yet") % folder, _("“make run” creates it."))]
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
        is_running, waiting = is_ingester_running(folder), backlog(folder)
    except OSError as e:
        reason = system_reason(e)
        return [Finding(Level.PROBLEM, subject, f"{folder}: {reason}", _("Give this user write access."))]
    age_s = _oldest_waiting_s(folder)
    text = _("%(kib)d KiB in files, the oldest full one %(seconds)d s old") % {"kib": waiting // 1024, "seconds": age_s}
    if is_running:
        if age_s > WAITS_AT_MOST_S:
            advice = _("Look for errors in the log of the ingest process; nothing is lost meanwhile.")
            return [Finding(Level.WARNING, subject, text, advice)]
        return [Finding(Level.OK, subject, text), Finding(Level.OK, _("ingester"), _("running"))]
    level = Level.PROBLEM if web_answers(settings.HOST, settings.PORT) else Level.WARNING
    advice = _("“make run” starts it; on servers run “manage.py ingest” once for each spool folder.")
    return [Finding(level, _("ingester"), _("not running; %s") % text, advice)]


def _oldest_waiting_s(folder: Path) -> float:
    """Seconds since the oldest file to which nothing is added any more was written; 0 where there is none."""
    finished = [spool_path(folder, uid, seq) for uid, seqs in spool_files(folder).items() for seq in seqs[:-1]]
    written = [path.stat().st_mtime for path in finished if path.exists()]
    return max(0.0, time.time() - min(written)) if written else 0.0
