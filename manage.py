#!/usr/bin/env python
"""Django's command line for SmartRouter; `manage.py help` lists what it can do."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smartrouter.settings")
    import django
    from django.core.management import execute_from_command_line
    from django.utils.translation import activate

    from smartrouter.lib.language import terminal_language

    django.setup()
    # LANGUAGE_CODE of .env is in the environment as soon as the settings are read.
    if not os.environ.get("LANGUAGE_CODE", "").strip():
        activate(terminal_language(os.environ))
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
