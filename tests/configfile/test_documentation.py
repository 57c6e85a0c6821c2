"""The page about the file beside the code that it tells of."""

import re

import pytest

from routing.strategies import FIELDS, PRESETS
from smartrouter.configfile.schema import BLOCKS
from tests.configfile.applying import apply
from tests.configfile.documents import ROOT

PAGE = (ROOT / "docs" / "configuration.md").read_text()


def rows_of(heading: str) -> dict[str, list[str]]:
    """The cells of the first table below a heading, by its first column."""
    _before, _line, table = PAGE.split(f"\n{heading}\n")[1].partition("\n|---")
    lines = table.split("\n\n")[0].splitlines()[1:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first.strip("`"): rest for first, *rest in cells}


def test_every_field_is_there_with_its_order() -> None:
    rows = rows_of("#### Layers")

    assert {name: (row[1], row[3].split(",")[0]) for name, row in rows.items()} == {
        name: (field.order, f"{field.unknown:g}") for name, field in FIELDS.items()
    }


def test_every_preset_is_there_with_its_layers() -> None:
    rows = rows_of("#### Presets")

    assert list(rows) == list(PRESETS)
    for name, (text,) in rows.items():
        preset = PRESETS[name]
        if preset.layers and not preset.has_tiers:
            shown = dict(re.findall(r"(\w+) ([\d.]+)", text))
            assert {field: float(weight) for field, weight in shown.items()} == {
                x.field: x.weight for x in preset.layers
            }
        else:
            assert preset.has_tiers and "priority" in text


def test_every_block_is_there() -> None:
    assert [name for name in BLOCKS if f"\n### {name}\n" not in PAGE] == []


@pytest.mark.django_db
def test_the_example_of_time_policies_can_be_applied() -> None:
    example = PAGE.split("#### Time policies\n\n```yaml\n")[1].split("```")[0]
    groups = 'model_groups:\n- {name: "auto:cheap", select: true}\n- name: g\n  select: true\n'

    report = apply(groups + "".join(f"  {line}\n" for line in example.splitlines()))

    assert [line.name for line in report.lines[2:]] == [
        "g: mon, tue, wed, thu, fri 09:00-18:00 Asia/Shanghai",
        "g: every day 22:00-06:00 UTC",
    ]
