"""--prune: strategy rules, and groups that other groups name."""

import pytest

from routing.models import StrategyRule
from tests.configfile.applying import apply, lines

pytestmark = pytest.mark.django_db


def test_rules_that_the_file_does_not_have_are_removed() -> None:
    rules = ("*", "b", "a")
    apply(f"strategies: [{', '.join(f'{{names: {name!r}, routing_strategy: auto}}' for name in rules)}]")

    without = apply("model_groups: []", with_prune=True)
    one = apply("strategies: [{names: '*', routing_strategy: auto}]", with_prune=True)
    none = apply("strategies: []", with_prune=True)

    assert without.is_unchanged
    assert lines(one) == ([], [], ["strategy rule a", "strategy rule b"]) and one.warnings == []
    assert lines(none) == ([], [], ["strategy rule *"]) and not StrategyRule.objects.exists()
    assert none.warnings == [
        "f.yml: strategies: The files have no entry in strategies: everything in it is removed (1 rows)."
    ]


def test_groups_that_the_files_name_but_do_not_have_are_warned_of() -> None:
    apply("model_groups: [{name: a, select: true}, {name: b, select: true}]")

    report = apply(
        "model_groups: [{name: c, select: true, fallback: a, time_policies: [{members_of: b}]}]", with_prune=True
    )

    said = "The files name “%s” here but have no such entry in model_groups: it is switched off."
    assert [warning for warning in report.warnings if "The files name" in warning] == [
        f"f.yml: model_groups[0].fallback: {said % 'a'}",
        f"f.yml: model_groups[0].time_policies[0].members_of: {said % 'b'}",
    ]
