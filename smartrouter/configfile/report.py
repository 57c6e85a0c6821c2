"""Worker side. What an apply did, and what it could not do."""

from collections.abc import Sequence
from dataclasses import dataclass, field


class ConfigError(Exception):
    """The configuration was refused and nothing was written; each message says where and what. No secret is in them."""

    def __init__(self, messages: Sequence[str]) -> None:
        super().__init__("\n".join(messages))
        self.messages = list(messages)


@dataclass(frozen=True, slots=True)
class Line:
    """One row that was added or changed; fields: what changed, in the document's words, never values."""

    kind: str
    name: str
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" ({', '.join(self.fields)})" if self.fields else "")


@dataclass(slots=True)
class Report:
    """What was added, changed and removed, in order (only members are), and the warnings with their places."""

    added: list[Line] = field(default_factory=list)
    changed: list[Line] = field(default_factory=list)
    removed: list[Line] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def is_unchanged(self) -> bool:
        return not (self.added or self.changed or self.removed)
