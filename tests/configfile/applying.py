"""Applying text, and reading a report."""

from smartrouter.configfile import Report, apply_document
from smartrouter.configfile.reading import read_text


def apply(text: str, dry_run: bool = False) -> Report:
    """What applying the YAML text did."""
    return apply_document(read_text(text, "f.yml")[0], source="f.yml", dry_run=dry_run)


def lines(report: Report) -> tuple[list[str], list[str], list[str]]:
    """The report's lines as text: added, changed, removed."""
    return [*map(str, report.added)], [*map(str, report.changed)], [*map(str, report.removed)]
