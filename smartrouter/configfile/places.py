"""Worker side. Where something stands: a file, a line, and a path in the document such as providers[0].kind."""

from dataclasses import dataclass, field

import yaml


@dataclass(frozen=True, slots=True)
class Place:
    """A spot in a document. Without a node tree (a document that never was a file) it has no line."""

    source: str
    root: yaml.Node | None = field(default=None, repr=False)  # its repr would show the file's secrets
    path: tuple[str | int, ...] = ()

    def at(self, *parts: str | int) -> "Place":
        """The place further down."""
        return Place(self.source, self.root, (*self.path, *parts))

    def says(self, message: object) -> str:
        """`FILE:LINE: path: message`, without what is not known."""
        return f"{self}: {message}"

    def __str__(self) -> str:
        line = "" if self.root is None else f":{line_of(self.root, self.path)}"
        return f"{self.source}{line}" + (f": {show_path(self.path)}" if self.path else "")


def show_path(path: tuple[str | int, ...]) -> str:
    """The path as people write it: channels[0].keys[1].name."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def line_of(root: yaml.Node, path: tuple[str | int, ...]) -> int:
    """The line, from 1 on, of the deepest part of the path that the tree has.

    A field is where its key stands, a list's item where it begins.
    """
    node, line = root, root.start_mark.line
    for part in path:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
        elif isinstance(node, yaml.MappingNode):
            # The last one counts: constructing puts merged keys (<<) before the mapping's own.
            found = [(key, value) for key, value in node.value if key.value == part]
            if not found:
                break
            line, node = found[-1][0].start_mark.line, found[-1][1]
        else:
            break
    return int(line) + 1
