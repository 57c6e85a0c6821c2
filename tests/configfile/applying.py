"""Applying text, and reading a report or what is refused."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from smartrouter.configfile import ConfigError, Report, apply_document, apply_files
from smartrouter.configfile.reading import read_text
from smartrouter.configfile.report import Action
from tests.configfile.documents import everything_stored


def apply(text: str, *, dry_run: bool = False, with_prune: bool = False) -> Report:
    """What applying the YAML text did."""
    return apply_document(read_text(text, "f.yml")[0], source="f.yml", dry_run=dry_run, with_prune=with_prune)


def lines(report: Report) -> tuple[list[str], list[str], list[str]]:
    """The report's lines as text: added, changed, removed."""
    return of(report, Action.ADDED), of(report, Action.CHANGED), of(report, Action.REMOVED)


def of(report: Report, action: Action) -> list[str]:
    """The lines of one sort as text."""
    return [str(line) for line in report.of(action)]


def refusal_of(text: str, folder: Path) -> list[str]:
    """The messages for the text as a file f.yml, without the folder; the database is as it was."""
    return refusal_of_files((folder / "f.yml", text))


def refusal_of_files(*files: tuple[Path, str]) -> list[str]:
    """The messages for files of one folder, without the folder; the database is as it was."""
    for path, text in files:
        path.write_text(text)
    before = everything_stored()
    with pytest.raises(ConfigError) as caught:
        apply_files([path for path, _text in files])
    assert everything_stored() == before
    return [message.replace(f"{files[0][0].parent}/", "") for message in caught.value.messages]


def assert_refused(text: str, beginnings: Sequence[str], folder: Path) -> None:
    """Assert that the messages for the text, of its lines, begin with these and are as many."""
    found = refusal_of(text, folder)
    assert len(found) == len(beginnings), found
    for message, beginning in zip(found, beginnings, strict=True):
        assert message.startswith(f"f.yml:{beginning}"), message
