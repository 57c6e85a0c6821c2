"""Worker side. What a check found."""

from dataclasses import dataclass
from enum import Enum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Level(Enum):
    """How bad it is: as it should be, worth a look, or something does not work."""

    OK = _("OK")
    WARNING = _("WARNING")
    PROBLEM = _("PROBLEM")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. advice: what to do, empty when all is well. No secret is in it."""

    level: Level
    subject: str | Promise
    text: str
    advice: str = ""
