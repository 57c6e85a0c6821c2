"""Applying text, and reading a report."""

from smartrouter.configfile import Report, apply_document
from smartrouter.configfile.reading import read_text
from smartrouter.configfile.report import Action


def apply(text: str, *, dry_run: bool = False, with_prune: bool = False) -> Report:
    """What applying the YAML text did."""
    return apply_document(read_text(text, "f.yml")[0], source="f.yml", dry_run=dry_run, with_prune=with_prune)


def lines(report: Report) -> tuple[list[str], list[str], list[str]]:
    """The report's lines as text: added, changed, removed."""
    return of(report, Action.ADDED), of(report, Action.CHANGED), of(report, Action.REMOVED)


def of(report: Report, action: Action) -> list[str]:
    """The lines of one sort as text."""
    return [str(line) for line in report.of(action)]
