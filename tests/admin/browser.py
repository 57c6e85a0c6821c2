"""What a browser would send back for a form on a page."""

from html.parser import HTMLParser
from typing import Any


class _Form(HTMLParser):
    """The successful controls of the one form whose id is given."""

    def __init__(self, form_id: str) -> None:
        super().__init__()
        self.form_id, self.is_inside = form_id, False
        self.data: dict[str, Any] = {}
        self._select: str | None = None
        self._textarea: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.is_inside = found.get("id") == self.form_id
        if not self.is_inside:
            return
        name = found.get("name", "")
        if tag == "input" and name and found.get("type") not in ("submit", "button"):
            if found.get("type") in ("checkbox", "radio"):
                if "checked" in found:
                    self._add(name, found.get("value") or "on")
            else:
                self._add(name, found.get("value", ""))
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and "selected" in found:
            self._add(self._select, found.get("value", ""))
        elif tag == "textarea" and name:
            self._textarea = name
            self.data[name] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.is_inside = False
        elif tag == "select":
            self._select = None
        elif tag == "textarea" and self._textarea:
            self.data[self._textarea] = self.data[self._textarea].removeprefix("\n")
            self._textarea = None

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.data[self._textarea] += data

    def _add(self, name: str, value: str) -> None:
        if name in self.data and self.data[name] != value:
            known = self.data[name]
            self.data[name] = [*(known if isinstance(known, list) else [known]), value]
        else:
            self.data[name] = value


def form_of(page: Any, form_id: str) -> dict[str, Any]:
    """The data of the form on the page, as it would be sent unchanged."""
    parser = _Form(form_id)
    parser.feed(page.content.decode())
    assert parser.data, f"no form {form_id} on the page"
    return parser.data
