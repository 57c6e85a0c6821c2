"""Worker side. What an apply did or would do, row by row, and what it could not do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from smartrouter.configfile.places import Problem


class ConfigError(Exception):
    """The configuration was refused and nothing was written; each problem says where and what. No secret is in them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = sorted(problems, key=lambda each: (each.place.number, each.place.line_number() or 0))
        super().__init__("\n".join(self.messages))

    @property
    def messages(self) -> list[str]:
        """The problems as text, in the order of files and lines."""
        return [str(problem) for problem in self.problems]


class Action(StrEnum):
    """What happened to a row; the last one that fits, so that nobody misses what stops working."""

    ADDED = "added"
    CHANGED = "changed"
    RENAMED = "renamed"
    SWITCHED_OFF = "switched_off"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field, in the document's word, with its values as people read them.

    old: None where the row is new. said: stands instead of both values where they are secret.
    """

    name: str
    old: str | None = None
    new: str | None = None
    said: str = ""

    def __str__(self) -> str:
        values = self.said or (self.new if self.old is None else f"{self.old} -> {self.new}")
        return f"{self.name}: {values}"


@dataclass(frozen=True, slots=True)
class Line:
    """One row: what happened to it and to its fields. block: the block of the document that it belongs to."""

    action: Action
    block: str
    kind: str
    name: str
    fields: tuple[FieldChange, ...] = ()
    was: str = ""

    def __str__(self) -> str:
        names = ", ".join(change.name for change in self.fields) if self.action is Action.CHANGED else ""
        return f"{self.kind} {self.name}" + (f" ({names})" if names else "")


@dataclass(slots=True)
class Report:
    """What happened to rows, in order, and the warnings with their places."""

    lines: list[Line] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def is_unchanged(self) -> bool:
        return not self.lines

    def of(self, action: Action) -> list[Line]:
        """The rows to which this happened."""
        return [line for line in self.lines if line.action is action]

    def blocks(self, order: Sequence[str]) -> Iterator[tuple[str, list[Line]]]:
        """The lines block by block, in this order; only blocks that have any."""
        for block in order:
            if lines := [line for line in self.lines if line.block == block]:
                yield block, lines
