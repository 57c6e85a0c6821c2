"""Worker side. The default strategy: what holds for every name of which nothing else is said, and how it is switched.

It is the strategy rule for all names, and without one the setting LOAD_BALANCING_STRATEGY.
"""

from collections.abc import Sequence
from typing import Any

from django.conf import settings

from routing.models import StrategyRule
from routing.strategies import check_preset

EVERY_NAME = "*"


def rule_for(name: str) -> StrategyRule | None:
    """The rule that holds for a name, the longest that fits; None where the setting holds."""
    patterns = [name, *(name[:length] + EVERY_NAME for length in range(len(name) + 1))]
    return max(StrategyRule.objects.filter(pattern__in=patterns), key=lambda rule: _rank(rule, name), default=None)


def _rank(rule: StrategyRule, name: str) -> tuple[bool, int]:
    return rule.pattern == name, len(rule.pattern)


def default_rule() -> StrategyRule | None:
    """The rule that holds for every name; None where the setting holds."""
    return StrategyRule.objects.filter(pattern=EVERY_NAME).first()


def default_preset() -> str:
    """The preset of the setting."""
    return str(settings.LOAD_BALANCING_STRATEGY)


def set_default(name: str, layers: Sequence[Any] = ()) -> tuple[StrategyRule, bool]:
    """The rule for every name, now with this preset or these layers, and whether that changed anything.

    Live in every process within a second. Raises ValueError with a sentence for an unknown preset.
    """
    if not layers:
        check_preset(name)
    values = {"strategy": "" if layers else name, "layers": list(layers)}
    rule = default_rule()
    if rule is not None and (rule.strategy, rule.layers) == (values["strategy"], values["layers"]):
        return rule, False
    return StrategyRule.objects.update_or_create(pattern=EVERY_NAME, defaults=values)[0], True


def reset_default() -> bool:
    """Whether there was a rule for every name, which is gone now: the setting holds again."""
    rules = StrategyRule.objects.filter(pattern=EVERY_NAME)
    return bool(rules.delete()[0])
