"""Worker side. Where something stands: a file, a line, and a path in the document such as providers[0].kind."""

from dataclasses import dataclass, field, replace

Path = tuple[str | int, ...]


@dataclass(slots=True, repr=False)  # a key of the file may be a misplaced secret
class Spot:
    """Where one value of a file begins, and what is below it.

    An alias is a spot of its own line whose target stands elsewhere. Of a doubled key the last one counts.
    """

    line: int
    fields: dict[str, tuple[int, "Spot"]] = field(default_factory=dict)  # each with the line of its key
    items: list["Spot"] = field(default_factory=list)
    merged: list[tuple[int, "Spot"]] = field(default_factory=list)  # what << brings in, with the line of the <<
    target: "Spot | None" = None

    def step(self, part: str | int) -> tuple[int, "Spot", bool] | None:
        """The line and spot of a part, and whether it is written elsewhere; None where there is none."""
        if self.target is not None:
            found = self.target.step(part)
            return (self.line, found[1], True) if found else None
        if isinstance(part, int):
            return (self.items[part].line, self.items[part], False) if part < len(self.items) else None
        if part in self.fields:
            return (*self.fields[part], False)
        for line, spot in self.merged:
            for source in spot.items or [spot]:  # <<: [*one, *other]
                if found := source.step(part):
                    return line, found[1], True
        return None


@dataclass(frozen=True, slots=True)
class Place:
    """A spot in a document. A document that never was a file has no lines."""

    source: str
    root: Spot | None = field(default=None, repr=False)
    path: Path = ()
    line: int | None = None  # where it is known without the tree
    number: int = 0  # which of several files

    def at(self, *parts: str | int) -> "Place":
        """The place further down."""
        return replace(self, path=(*self.path, *parts))

    def says(self, message: object) -> "Problem":
        """A sentence about this place."""
        return Problem(self, str(message))

    def line_number(self) -> int | None:
        """The line, from 1 on; None where there are no lines."""
        return self.line if self.line is not None or self.root is None else line_of(self.root, self.path)

    def __str__(self) -> str:
        line = self.line_number()
        return self.source + (f":{line}" if line else "") + (f": {show_path(self.path)}" if self.path else "")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong or doubtful somewhere; as text `FILE:LINE: path: message`, without what is not known."""

    place: Place
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


def show_path(path: Path) -> str:
    """The path as people write it: channels[0].keys[1].name."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def line_of(root: Spot, path: Path) -> int:
    """The line of the deepest part of the path that the file has.

    A field is where its key stands, a list's item where it begins; what an alias or << brings in is where that stands,
    not where the shared value does: the line to look at is the one that uses it.
    """
    spot, line, is_elsewhere = root, root.line, False
    for part in path:
        found = spot.step(part)
        if found is None:
            break
        next_line, spot, jumps = found
        if not is_elsewhere:
            line = next_line
        is_elsewhere = is_elsewhere or jumps
    return line
