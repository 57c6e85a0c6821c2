"""Worker side. `manage.py strategy [NAME | --reset]`: the strategy for every name of which nothing else is said."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils.translation import gettext as _

from routing.defaults import default_preset, default_rule, reset_default, set_default
from routing.strategies import PRESET_LABELS


class Command(BaseCommand):
    @property
    def help(self) -> str:  # type: ignore[override]
        return _("Show or switch the default strategy; running processes have it within a second.")

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", metavar="NAME", help=_("the strategy from now on; without it, show all"))
        parser.add_argument("--reset", action="store_true", help=_("go back to the setting LOAD_BALANCING_STRATEGY"))

    def handle(self, *args: Any, **options: Any) -> None:
        name, is_reset = options["name"], options["reset"]
        if name is not None and is_reset:
            raise CommandError(_("Give a name or --reset, not both."))
        try:
            if is_reset:
                self.reset()
            elif name is not None:
                self.switch(name)
            else:
                self.show()
        except DatabaseError as e:
            # Not its text: a database's message can quote the values of a row.
            raise CommandError(
                _("The database cannot be used (%s). Is it there, and did “manage.py migrate” run?") % type(e).__name__
            ) from e

    def show(self) -> None:
        """Print the default, where it comes from, and the presets."""
        rule = default_rule()
        if rule is None:
            line = _("The default strategy is %s, from the setting LOAD_BALANCING_STRATEGY.") % default_preset()
        elif rule.strategy:
            line = _("The default strategy is %s, from the strategy rule *.") % rule.strategy
        else:
            line = _("The default is the layers of the strategy rule *.")
        self.stdout.write(line)
        width = max(map(len, PRESET_LABELS))
        for name, text in PRESET_LABELS.items():
            self.stdout.write(f"  {name:<{width}}  {text}")

    def switch(self, name: str) -> None:
        try:
            changed = set_default(name)[1]
        except ValueError as e:
            raise CommandError(str(e)) from e
        text = _("The default strategy is %s now.") if changed else _("The default strategy is %s already.")
        self.stdout.write(text % name)

    def reset(self) -> None:
        was_there = reset_default()
        text = (
            _("The strategy rule * is gone; the default strategy is %s, from the setting LOAD_BALANCING_STRATEGY.")
            if was_there
            else _("The default strategy is %s already, from the setting LOAD_BALANCING_STRATEGY.")
        )
        self.stdout.write(text % default_preset())
