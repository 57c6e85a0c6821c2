"""manage.py messages on small sources: what it finds, what it keeps, and each thing that it calls wrong."""

from pathlib import Path

import polib
import pytest

from smartrouter.languages.catalogue import compile_catalogue, merge, read_catalogue, write_catalogue
from smartrouter.languages.extraction import (
    Message,
    Unreadable,
    messages_below,
    messages_of_python,
    messages_of_template,
)
from smartrouter.languages.misuse import misuses_in
from smartrouter.languages.problems import difference_of_placeholders, problems_of

PYTHON = """
from django.utils.translation import gettext as _, gettext_lazy, ngettext, pgettext
title = gettext_lazy("a "
    "title")
def say(n, name):
    print(_("hello"), ngettext("%d row", "%d rows", n) % n, pgettext("verb", "close"), _(name), other("not this"))
"""
TEMPLATE = """
{% load i18n %}<p title="{% translate 'a tip' %}">plain</p>
    {% blocktranslate trimmed with name=x.name %}
        Hello
        {{ name }}
    {% endblocktranslate %}
{% include "x.html" with label=_("a label") %}
{% blocktranslate count n=rows %}one{% plural %}{{ n }} of them{% endblocktranslate %}
"""
OURS = {Message("Save"), Message("%(count)d row", "%(count)d rows"), Message("%s of %s")}


@pytest.fixture
def complete() -> polib.POFile:
    """A catalogue in which nothing is wrong."""
    made = merge(polib.POFile(), OURS, {Message("Cancel"): "unfold"})
    texts = {"Save": "保存", "Cancel": "取消", "%s of %s": "%s / %s"}
    for entry in made:
        if entry.msgid_plural:
            entry.msgstr_plural = {0: "%(count)d 行"}
        else:
            entry.msgstr = texts[entry.msgid]
    return made


def problems(catalogue: polib.POFile, ours: set[Message] = OURS, compiled: bytes | None = b"") -> list[str]:
    written = compile_catalogue(catalogue) if compiled == b"" else compiled
    return problems_of(catalogue, ours, {Message("Cancel"): "unfold"}, written)


def test_the_strings_of_a_module_are_found() -> None:
    assert messages_of_python(PYTHON, "x.py") == {
        Message("a title"), Message("hello"), Message("%d row", "%d rows"), Message("close", "", "verb"),
    }  # fmt: skip


def test_the_strings_of_a_template_are_found() -> None:
    assert messages_of_template(TEMPLATE, "x.html") == {
        Message("a tip"), Message("Hello %(name)s"), Message("a label"), Message("one", "%(n)s of them"),
    }  # fmt: skip


def test_tests_and_other_apps_below_are_left_out(tmp_path: Path) -> None:
    for name in ("here/a.py", "here/tests/b.py", "here/app/c.py", "here/app/apps.py", "here/migrations/d.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'_("{path.stem}")')

    assert messages_below(tmp_path / "here") == {Message("a")}


def test_a_block_that_cannot_be_read_is_named() -> None:
    with pytest.raises(Unreadable, match=r"x\.html"):
        messages_of_template("{% load i18n %}{% blocktranslate %}a{% if b %}{% endblocktranslate %}", "x.html")


def test_calls_that_translate_nothing_are_named() -> None:
    source = """
from django.utils.translation import gettext as _, gettext_lazy
class A:
    title = _("at import")
    fine = gettext_lazy("later")
def say(name, default=_("default")):
    return _("fine"), _(f"hello {name}"), _("hello %s" % name), _("hello {}".format(name)), _(name)
"""

    found = misuses_in(source)

    assert [line for line, _reason in found] == [4, 6, 7, 7, 7]
    assert found[0][1] == "gettext is called at import; use gettext_lazy"


def test_a_complete_catalogue_has_no_problem(complete: polib.POFile) -> None:
    assert problems(complete) == []


def test_what_is_not_in_the_catalogue_is_missing(complete: polib.POFile) -> None:
    assert problems(complete, {*OURS, Message("New")}) == ["missing: “New”"]


def test_what_no_source_says_any_more_is_stale(complete: polib.POFile) -> None:
    assert problems(complete, OURS - {Message("Save")}) == ["stale: “Save”"]


def test_what_says_nothing_is_untranslated(complete: polib.POFile) -> None:
    complete.find("Save").msgstr = " "
    complete.find("%(count)d row").msgstr_plural = {0: ""}

    assert problems(complete) == ["untranslated: “%(count)d row”", "untranslated: “Save”"]


def test_what_is_doubtful_is_fuzzy(complete: polib.POFile) -> None:
    complete.find("Save").flags.append("fuzzy")

    assert problems(complete) == ["fuzzy: “Save”"]


def test_what_stands_there_twice_is_named(complete: polib.POFile) -> None:
    complete.append(polib.POEntry(msgid="Save", msgstr="存"))

    assert problems(complete) == ["twice: “Save”"]


def test_a_lost_placeholder_is_named(complete: polib.POFile) -> None:
    complete.find("%(count)d row").msgstr_plural = {0: "几行"}
    complete.find("%s of %s").msgstr = "%s"

    assert problems(complete) == [
        "placeholders (without %(count)d): “%(count)d row”",
        "placeholders (%s %s became %s): “%s of %s”",
    ]


@pytest.mark.parametrize(
    ("original", "translation"),
    [("%(a)s of %(b)s", "%(b)s，%(a)s"), ("100%% of %s", "%s 的 100%%"), ("{x} and {y}", "{y}、{x}"), ("5 %", "5 %")],
)
def test_placeholders_may_change_their_order(original: str, translation: str) -> None:
    assert difference_of_placeholders(original, translation) == ""


@pytest.mark.parametrize(
    ("original", "translation"),
    [("%(a)s", "%(b)s"), ("%(a)d", "%(a)s"), ("%s %d", "%d %s"), ("{a}", "{b}"), ("a", "%s"), ("{}", "")],
)
def test_other_changes_of_placeholders_are_refused(original: str, translation: str) -> None:
    assert difference_of_placeholders(original, translation)


def test_an_old_compiled_file_is_named(complete: polib.POFile) -> None:
    assert problems(complete, compiled=None) == ["not compiled: there is no .mo file"]
    assert problems(complete, compiled=b"old") == ["not compiled: the .mo file is not what the .po file compiles to"]


def test_merging_keeps_translations_drops_what_is_gone_and_changes_nothing_the_second_time(
    complete: polib.POFile, tmp_path: Path
) -> None:
    path = tmp_path / "zh" / "django.po"
    path.parent.mkdir()
    complete.find("Save").tcomment = "a note of the translator"
    complete.save(str(path))
    ours = {*OURS, Message("New")} - {Message("%s of %s")}

    write_catalogue(path, ours, {Message("Cancel"): "unfold"})
    first = path.read_bytes()
    write_catalogue(path, ours, {Message("Cancel"): "unfold"})

    assert path.read_bytes() == first
    merged = read_catalogue(path)
    assert [(entry.msgid, entry.msgstr) for entry in merged if not entry.msgid_plural] == [
        ("New", ""), ("Save", "保存"), ("Cancel", "取消"),
    ]  # fmt: skip
    assert merged.find("Save").tcomment == "a note of the translator"
    assert merged.find("Cancel").comment == "From the package unfold."
    assert merged.find("%(count)d row").flags == ["python-format"]
    assert [name.name for name in path.parent.iterdir()] == ["django.po"]


def test_a_message_that_gets_a_plural_keeps_its_translation() -> None:
    old = polib.POFile()
    old.append(polib.POEntry(msgid="%d row", msgstr="%d 行"))

    merged = merge(old, {Message("%d row"), Message("%d row", "%d rows")}, {})

    assert [(entry.msgid_plural, entry.msgstr_plural) for entry in merged] == [("%d rows", {0: "%d 行"})]


def test_the_same_translations_compile_to_the_same_bytes(complete: polib.POFile) -> None:
    turned = polib.POFile()
    turned.metadata = complete.metadata
    turned.extend(reversed(list(complete)))

    assert compile_catalogue(turned) == compile_catalogue(complete)
