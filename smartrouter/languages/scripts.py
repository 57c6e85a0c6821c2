"""Worker side. The words of Django's scripts that our catalogue words itself: the calendar and the clock of date fields."""

from django.utils.translation import get_language, gettext, ngettext, pgettext
from django.views.i18n import JavaScriptCatalog

from smartrouter.lib.language import ENGLISH


class ScriptCatalog(JavaScriptCatalog):
    """Django's catalogue for scripts with our words in it."""

    def get_catalog(self) -> dict[str, list[str] | str]:
        """The texts by what the scripts ask for; one of a context stands under the context, \\x04 and the text."""
        return {**super().get_catalog(), **own_texts()}


def own_texts() -> dict[str, str]:
    """Our texts in the language in use; none in English, which the scripts bring along."""
    if (get_language() or ENGLISH) == ENGLISH:
        return {}
    days = {
        "one letter Sunday\x04S": pgettext("one letter Sunday", "S"),
        "one letter Monday\x04M": pgettext("one letter Monday", "M"),
        "one letter Tuesday\x04T": pgettext("one letter Tuesday", "T"),
        "one letter Wednesday\x04W": pgettext("one letter Wednesday", "W"),
        "one letter Thursday\x04T": pgettext("one letter Thursday", "T"),
        "one letter Friday\x04F": pgettext("one letter Friday", "F"),
        "one letter Saturday\x04S": pgettext("one letter Saturday", "S"),
    }
    ahead = "Note: You are %s hour ahead of server time."
    behind = "Note: You are %s hour behind server time."
    return {
        **days,
        "6 a.m.": gettext("6 a.m."),
        "6 p.m.": gettext("6 p.m."),
        "Choose a Date": gettext("Choose a Date"),
        "Choose a Time": gettext("Choose a Time"),
        "Choose a time": gettext("Choose a time"),
        ahead: ngettext(
            "Note: You are %s hour ahead of server time.", "Note: You are %s hours ahead of server time.", 1
        ),
        behind: ngettext("Note: You are %s hour behind server time.", "Note: You are %s hours behind server time.", 1),
    }
