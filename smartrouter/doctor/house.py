"""Worker side. Settings, the data folder, the room on its disk."""

import shutil
import stat
import tempfile

from django.conf import settings
from django.core.checks import Error, run_checks
from django.utils.translation import gettext as _

from smartrouter.doctor.finding import Finding, Level
from smartrouter.lib.reasons import system_reason

MIB = 1024 * 1024
# The spool of an hour without a database, at some hundred requests a second, fits into the first.
DISK_WARNING_MIB = 1024
DISK_PROBLEM_MIB = 100


def check_settings() -> list[Finding]:
    """What the system checks say, the checks of secrets among them."""
    subject = _("settings")
    found = []
    for message in sorted(run_checks(), key=lambda message: (message.id, message.msg)):
        level = Level.PROBLEM if isinstance(message, Error) else Level.WARNING
        found.append(Finding(level, subject, str(message.msg), str(message.hint or "")))
    return found or [Finding(Level.OK, subject, _("all readable, all secrets set"))]


def check_data_folder() -> list[Finding]:
    """Whether the data folder can be written to and nobody else reads the secrets in it."""
    folder, subject = settings.DATA_DIR, _("data folder")
    if not folder.exists():
        return [Finding(Level.WARNING, subject, _("%s is not there yet") % folder, _("“make run” creates it."))]
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as e:
        reason = system_reason(e)
        advice = _("Give this user write access, or set SMARTROUTER_DATA to another folder.")
        return [Finding(Level.PROBLEM, subject, f"{folder}: {reason}", advice)]
    findings = [Finding(Level.OK, subject, _("%s can be written to") % folder)]
    path = settings.SECRETS_FILE
    if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        advice = _("Take the rights away: chmod 600 %s") % path
        findings.append(Finding(Level.PROBLEM, _("secrets"), _("others can read %s") % path, advice))
    return findings


def check_disk() -> list[Finding]:
    """How much room the data folder's disk has left."""
    folder = next(path for path in (settings.DATA_DIR, *settings.DATA_DIR.parents) if path.is_dir())
    free_mib = shutil.disk_usage(folder).free // MIB
    text = _("%d MiB free") % free_mib
    if free_mib >= DISK_WARNING_MIB:
        return [Finding(Level.OK, _("disk"), text)]
    level = Level.WARNING if free_mib >= DISK_PROBLEM_MIB else Level.PROBLEM
    advice = _("Make room: without it, usage cannot be recorded and requests are refused.")
    return [Finding(level, _("disk"), text, advice)]
