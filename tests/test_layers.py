"""The rooms as DESIGN section 3 has them: what points at what, and what the hot path may know. Imports between rooms are
import-linter's part (make check); it sees neither foreign keys nor docstrings."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("smartrouter", "providers", "channels", "billing", "routing")
# From bottom to top; what Django brings is below everything.
ROOMS = ("accounts", "providers", "channels", "billing", "routing")
HOT_ENTRY = "routing.endpoints.entry"
HOT = "Hot path."
# What comes with an import and does nothing there: how the API is described; how outbound calls of the jobs are made;
# sealing, whose secrets and digests the hot path needs and whose model fields it does not.
BROUGHT_ALONG = frozenset(
    (
        "routing.endpoints",
        "routing.endpoints.schema",
        "smartrouter.lib.outbound",
        "smartrouter.lib.outbound.jobs",
        "smartrouter.lib.outbound.tls",
        "smartrouter.lib.outbound.urls",
        "smartrouter.lib.sealing",
    )
)
# Django reads these itself, so that they have their own shape.
NO_SIDE = frozenset(("migrations",))


def level_of(label: str) -> int:
    """How high an app stands; Django's own are the ground."""
    return ROOMS.index(label) if label in ROOMS else -1


def modules() -> Iterator[tuple[str, Path]]:
    """Each of our modules: dotted name and file."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if not NO_SIDE & set(parts):
                yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


FILES = dict(modules())
HOT_FILES = {
    name: path for name, path in FILES.items() if (ast.get_docstring(ast.parse(path.read_text())) or "").startswith(HOT)
}


def imports_of(name: str) -> set[str]:
    """The modules that a module imports, anywhere in it; of `from a import b` both a and a.b, where that is a module."""
    path = FILES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


def reached_from(name: str) -> set[str]:
    """Our modules that come with an import of this one, itself included."""
    found, waiting = set(), [name]
    while waiting:
        at = waiting.pop()
        if at in FILES and at not in found:
            found.add(at)
            waiting += [*imports_of(at), at.rpartition(".")[0]]
    return found


def test_foreign_keys_point_down() -> None:
    upwards = [
        f"{model._meta.label}.{field.name} -> {field.related_model._meta.label}"
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.get_fields()
        if level_of(model._meta.app_label) >= 0
        and field.is_relation and not field.auto_created and field.related_model is not None
        and level_of(field.related_model._meta.app_label) > level_of(model._meta.app_label)
    ]  # fmt: skip

    assert upwards == []
    assert {model._meta.app_label for model in apps.get_models()} >= set(ROOMS)


def test_nothing_points_at_usage_records_or_away_from_them() -> None:
    usage = [model for model in apps.get_app_config("billing").get_models() if model.__name__.startswith("Usage")]

    assert len(usage) == 2
    assert [field.name for model in usage for field in model._meta.get_fields() if field.is_relation] == []


@pytest.mark.parametrize("name", HOT_FILES)
def test_a_module_of_the_hot_path_knows_neither_models_nor_the_database(name: str) -> None:
    known = {found for found in imports_of(name) if found.startswith("django.db") or "models" in found.split(".")}

    assert known - {"routing.endpoints.models"} == set()


def test_what_the_entry_of_v1_brings_with_it_says_that_it_is_on_the_hot_path() -> None:
    silent = {name for name in reached_from(HOT_ENTRY) if FILES[name].read_text() and name not in HOT_FILES}

    assert silent - BROUGHT_ALONG == set()
    assert {"routing.relay", "channels.upstream", "billing.spool.writer"} <= set(HOT_FILES)


def test_importing_a_room_loads_nothing_of_the_house() -> None:
    assert (ROOT / "smartrouter" / "__init__.py").read_text() == ""
