"""Worker side. Calls of gettext that look right and translate nothing: made at import, or with a computed text."""

import ast
from collections.abc import Iterator
from pathlib import Path

from smartrouter.languages.extraction import KEYWORDS, Unreadable, sources_below

_TRANSLATION = "django.utils.translation"
_AT_ONCE = {"gettext", "ngettext", "pgettext", "npgettext"}


def misuses_below(folder: Path) -> list[str]:
    """One line for each wrong call in the modules below the folder, with file and line. Raises Unreadable."""
    found: list[str] = []
    for path in sources_below(folder):
        if path.suffix == ".py":
            try:
                found += [f"{path}:{line}: {why}" for line, why in misuses_in(path.read_text(encoding="utf-8"))]
            except SyntaxError as e:
                raise Unreadable(str(path), str(e)) from e
    return found


def misuses_in(source: str) -> list[tuple[int, str]]:
    """Line and reason of each wrong call in a module.

    What runs at import is translated once, into whatever language stands at that moment. A text with its values already
    in it is looked up as it is, and never found.
    """
    tree = ast.parse(source)
    names = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == _TRANSLATION
        for alias in node.names
        if alias.name in KEYWORDS
    }
    at_import = {id(node) for node in _run_at_import(tree)}
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        name = names.get(node.func.id, "") if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if not name or not isinstance(node, ast.Call):
            continue
        if name in _AT_ONCE and id(node) in at_import:
            found.append((node.lineno, f"{name} is called at import; use {name}_lazy"))
        if any(_is_computed(argument) for argument in node.args):
            found.append((node.lineno, f"{name} gets a computed text; fill in the values afterwards"))
    return sorted(found)


def _is_computed(argument: ast.expr) -> bool:
    if isinstance(argument, ast.JoinedStr):
        return True
    if isinstance(argument, ast.BinOp):
        return isinstance(argument.op, ast.Mod | ast.Add)
    if isinstance(argument, ast.Call) and isinstance(argument.func, ast.Attribute):
        return argument.func.attr == "format" and isinstance(argument.func.value, ast.Constant)
    return False


def _run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs when the module is imported: all but the bodies of functions."""
    yield node
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        children: list[ast.AST] = [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
    elif isinstance(node, ast.Lambda):
        children = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
    else:
        children = list(ast.iter_child_nodes(node))
    for child in children:
        yield from _run_at_import(child)
