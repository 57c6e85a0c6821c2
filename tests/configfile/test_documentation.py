"""The page about the file beside the code that it tells of."""

import re

import pytest

from routing.strategies import FIELDS, PRESETS
from smartrouter.configfile import export_document
from smartrouter.configfile.reading import read_text
from smartrouter.configfile.schema import BLOCKS, BudgetSpec, RouterKeySpec, TenantSpec
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
def test_the_example_of_budgets_can_be_applied_and_exported() -> None:
    example = PAGE.split("#### Budgets\n")[1].split("```yaml\n")[1].split("```")[0]
    provider = 'providers: [{name: openai, base_url: "https://api.openai.com/v1"}]\n'

    report = apply(provider + example)
    written, found = (read_text(text, "x")[0] for text in (example, export_document()))

    assert [line.name for line in report.lines if line.kind == "budget"] == [
        "acme: month usd",
        "acme: day tokens",
        "end user acme/*: day usd",
        "end user acme/alice: day usd",
        "user acme-admin: month usd",
        "acme/ci: day usd",
        "acme/ci: total requests",
        "openai-main: day usd",
        "auto:cheap: day usd",
    ]
    assert found["tenants"][0].pop("budgets") == written["tenants"][0].pop("budgets")[::-1]  # days come first
    assert (found["tenants"], found["channels"]) == (written["tenants"], written["channels"])
    assert found["model_groups"] == written["model_groups"]


def test_every_field_of_tenants_and_budgets_is_there() -> None:
    page = PAGE.split("\n### tenants\n")[1].split("\n### channels\n")[0]

    words = {name for spec in (TenantSpec, RouterKeySpec, BudgetSpec) for name in spec.__struct_encode_fields__}
    named = set(re.findall(r"\w+", " ".join(line.split("|")[1] for line in page.splitlines() if line.startswith("|"))))
    assert words - named == set()


@pytest.mark.django_db
def test_the_example_of_time_policies_can_be_applied() -> None:
    example = PAGE.split("#### Time policies\n\n```yaml\n")[1].split("```")[0]
    groups = 'model_groups:\n- {name: "auto:cheap", select: true}\n- name: g\n  select: true\n'

    report = apply(groups + "".join(f"  {line}\n" for line in example.splitlines()))

    assert [line.name for line in report.lines[2:]] == [
        "g: mon, tue, wed, thu, fri 09:00-18:00 Asia/Shanghai",
        "g: every day 22:00-06:00 UTC",
    ]
