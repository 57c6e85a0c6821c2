"""Hot path. What the operating system says about a failure, for people."""

import errno
import os

from django.utils.translation import gettext_noop

from smartrouter.lib.language import in_active_language

# The C library's sentences, so that the catalogue knows them: those that an operator meets.
_SENTENCES = (
    gettext_noop("Address already in use"),
    gettext_noop("Cannot assign requested address"),
    gettext_noop("Connection refused"),
    gettext_noop("File exists"),
    gettext_noop("Is a directory"),
    gettext_noop("No space left on device"),
    gettext_noop("No such file or directory"),
    gettext_noop("Not a directory"),
    gettext_noop("Operation not permitted"),
    gettext_noop("Permission denied"),
    gettext_noop("Read-only file system"),
    gettext_noop("Too many open files"),
)


def system_reason(error: OSError) -> str:
    """Why the operating system refused, in the active language; the error's class where it says nothing."""
    if error.errno is None or error.errno not in errno.errorcode:
        return error.strerror or str(error) or type(error).__name__
    return in_active_language(os.strerror(error.errno))
