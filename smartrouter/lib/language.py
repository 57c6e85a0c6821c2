"""Hot path. Which language: of a setting, of a terminal, of a request's header, of a text that is kept in English."""

from collections.abc import Iterable, Mapping

from django.conf import settings
from django.utils.translation import get_supported_language_variant, gettext
from django.utils.translation import gettext_lazy as _
from django.utils.translation.trans_real import parse_accept_lang_header

ENGLISH = "en"
CHINESE = "zh-hans"
# Of what a terminal says about itself, the first that is not empty decides (POSIX).
_LOCALE_NAMES = ("LC_ALL", "LC_MESSAGES", "LANG")


def read_language(text: str) -> str:
    """`en` or `zh-hans` for a name as people write it: en, en_US, zh, zh-cn, zh_CN. Raises ValueError for another one."""
    name = text.strip().lower().partition(".")[0].replace("_", "-")
    if name == ENGLISH or name.startswith("en-"):
        return ENGLISH
    if name in ("zh", "zh-cn", "zh-sg", CHINESE) or name.startswith("zh-hans-"):
        return CHINESE
    raise ValueError(_("use en or zh-hans"))


def terminal_language(environment: Mapping[str, str]) -> str:
    """The language of a terminal with these variables: Chinese where its locale begins with zh, else English."""
    locale = next((value for name in _LOCALE_NAMES if (value := environment.get(name, ""))), "")
    return CHINESE if locale.lower().startswith("zh") else ENGLISH


def language_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The language that a request's headers prefer; None where that is LANGUAGE_CODE, or where they say nothing."""
    for name, value in headers:
        if name == b"accept-language":
            language = preferred_language(value.decode("latin-1"))
            return None if language == settings.LANGUAGE_CODE else language
    return None


def preferred_language(header: str) -> str | None:
    """The language that an Accept-Language header prefers among ours, as pages choose it; None where it names none."""
    for name, _quality in parse_accept_lang_header(header.lower()):
        if name == "*":
            return None
        try:
            return get_supported_language_variant(name)
        except LookupError:
            continue
    return None


def in_active_language(text: str) -> str:
    """The text in the active language where the catalogue has it, else as it is.

    For sentences that are stored in English and read later, by people of either language; they are marked with
    gettext_noop where they are written. An upstream's own words are not in the catalogue and stay as they are.
    """
    return gettext(text) if text else ""
