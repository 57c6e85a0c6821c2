"""Worker side. The strings of the packages that our pages show and that come without Chinese."""

from pathlib import Path

import django
import polib
from django.apps import apps
from django.conf import settings

from smartrouter.languages.extraction import Message, messages_below

# What makes our pages and answers: Django without its contributed apps, and every app that is installed.
_OURS = ("smartrouter", "smartrouter/accounts", "providers", "channels", "billing", "routing", "templates")
_DJANGO_PARTS = ("conf", "contrib/messages", "core", "db", "forms", "http", "utils", "views")


def untranslated_messages(locale: str, ours: tuple[Path, ...]) -> dict[Message, str]:
    """Each message that no package translates, with the name of the package that it comes from."""
    root = Path(django.__file__).parent
    folders = {config.name: Path(config.path) for config in apps.get_app_configs() if Path(config.path) not in ours}
    known = _translated([root / "conf", *folders.values()], locale)
    found: dict[Message, str] = {}
    for name, folder in sorted(folders.items()):
        for message in messages_below(folder):
            found.setdefault(message, name.partition(".")[0])
    for part in _DJANGO_PARTS:
        for message in messages_below(root / part):
            found.setdefault(message, "django")
    return {message: name for message, name in found.items() if (message.text, message.context) not in known}


def _translated(folders: list[Path], locale: str) -> set[tuple[str, str]]:
    """Text and context of every entry that the packages' own catalogues translate."""
    known: set[tuple[str, str]] = set()
    for folder in folders:
        path = folder / "locale" / locale / "LC_MESSAGES" / "django.mo"
        if path.exists():
            known |= {(entry.msgid, entry.msgctxt or "") for entry in polib.mofile(str(path))}
    return known


def our_folders() -> tuple[Path, ...]:
    """The folders of our own apps, and of the templates beside them."""
    base = Path(settings.BASE_DIR)
    return tuple(base / name for name in _OURS)
