"""Worker side. The snapshot from which a web process serves that starts while the database is away."""

from django.conf import settings
from django.utils.translation import gettext as _

from routing.snapshot import SnapshotRefused, age_text, is_wanted, read_snapshot
from smartrouter.doctor.finding import Finding, Level
from smartrouter.lib.reasons import system_reason
from smartrouter.reach import web_answers

# A web process that is connected renews it every ten minutes.
OLD_S = 1800


def check_snapshot() -> list[Finding]:
    """Whether a start without the database would succeed; nothing where the database is a file."""
    if not is_wanted():
        return []
    subject, path = _("snapshot"), settings.SNAPSHOT_FILE
    advice = _("A web process that reaches the database writes one; until then none can start without the database.")
    try:
        snapshot = read_snapshot(path)
        mode = path.stat().st_mode
    except SnapshotRefused as e:
        return [Finding(Level.WARNING, subject, f"{path}: {e}", advice)]
    except OSError as e:
        return [Finding(Level.WARNING, subject, f"{path}: {system_reason(e)}", advice)]
    text = _("%(age)s old, with %(count)d rows") % {"age": age_text(snapshot.age_s), "count": len(snapshot.items)}
    if mode & 0o077:
        return [Finding(Level.PROBLEM, subject, text, _("Others can read it: chmod 600 %s") % path)]
    if snapshot.age_s > OLD_S and web_answers(settings.HOST, settings.PORT):
        advice = _("Look for snapshot_not_written in the log of the web process, and whether it reaches the database.")
        return [Finding(Level.WARNING, subject, text, advice)]
    return [Finding(Level.OK, subject, text)]
