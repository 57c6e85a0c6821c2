"""What a person reads on a page, and the English in it."""

import re
from collections.abc import Iterable
from html.parser import HTMLParser

UNSEEN = {"script", "style", "template", "noscript", "svg"}
SHOWN_ATTRIBUTES = ("title", "placeholder", "aria-label", "alt", "data-placeholder")
# Elements that end a run of text; all others stand within a line.
BLOCKS = frozenset(
    """
    address article aside body br button dd details div dl dt fieldset footer form h1 h2 h3 h4 h5 h6 head header hr html
    input label legend li main nav ol option p pre section select summary table tbody td textarea tfoot th thead title tr ul
    """.split()  # noqa: SIM905  (a list of fifty quoted words would be worse to read)
)
VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
# Two or more words of Latin letters with nothing but spaces and light punctuation between them.
_ENGLISH = re.compile(r"[A-Za-z][A-Za-z'’-]*(?:[ ,;:.!?()/“”\"]+[A-Za-z][A-Za-z'’-]*)+")
_WORD = re.compile(r"[A-Za-z][A-Za-z'’-]+")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._line = ""
        self._open: list[tuple[str, bool]] = []
        self.language = ""

    @property
    def _is_unseen(self) -> bool:
        return any(unseen for _tag, unseen in self._open)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "html":
            self.language = found.get("lang", "")
        if tag in BLOCKS:
            self._end_line()
        # An icon is a word of a font that draws it; what has a language of its own is a name in that language.
        is_icon = "material-symbols-outlined" in found.get("class", "").split()
        is_unseen = tag in UNSEEN or is_icon or (tag != "html" and "lang" in found)
        if not self._is_unseen and not is_unseen:
            self.texts += [found[name] for name in SHOWN_ATTRIBUTES if found.get(name)]
            if tag == "input" and found.get("type") in ("submit", "button", "reset"):
                self.texts.append(found.get("value", ""))
        if tag not in VOID:
            self._open.append((tag, is_unseen))

    def handle_endtag(self, tag: str) -> None:
        if tag in BLOCKS:
            self._end_line()
        while self._open and tag in [name for name, _unseen in self._open]:
            if self._open.pop()[0] == tag:
                break

    def handle_data(self, data: str) -> None:
        if not self._is_unseen:
            self._line += data

    def _end_line(self) -> None:
        text, self._line = " ".join(self._line.split()), ""
        if text:
            self.texts.append(text)


def read_page(html: str) -> tuple[str, list[str]]:
    """The page's language, and every text on it, its lines in their order, attributes that are shown among them."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    reader._end_line()
    return reader.language, reader.texts


def english_in(text: str, allowed: Iterable[str]) -> list[str]:
    """The runs of two or more English words in a text, once names and codes (allowed: regular expressions) are out of it.

    What is taken out leaves a gap that no run reaches across.
    """
    for pattern in allowed:
        text = re.sub(pattern, " ◦ ", text)
    return _ENGLISH.findall(text)


def words_in(text: str, allowed: Iterable[str]) -> list[str]:
    """The single English words that are left, for whoever looks further than english_in."""
    for pattern in allowed:
        text = re.sub(pattern, " ◦ ", text)
    return _WORD.findall(text)
