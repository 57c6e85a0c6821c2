"""Worker side. Small pieces of a page: coloured labels, links, amounts."""

from collections.abc import Iterable

from django.db.models import Model
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from smartrouter.lib.money import show_usd


def label(text: object, kind: str = "", title: str = "") -> SafeString:
    """A coloured label; kind: info, success, warning, danger, primary or nothing; title: shown on hover."""
    return render_to_string("unfold/helpers/label.html", {"text": text, "type": kind, "label_title": title})


def link(url: str, text: object) -> SafeString:
    return format_html('<a href="{}" class="text-primary-600 dark:text-primary-500">{}</a>', url, text)


def link_to(row: Model | None, text: object = None) -> SafeString | str:
    """A link to the row's own page; "-" for no row."""
    if row is None:
        return "-"
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return link(url, text if text is not None else row)


def hint(text: object, title: object) -> SafeString:
    """The text, with more of it on hover."""
    return format_html('<span title="{}">{}</span>', title, text) if title else format_html("{}", text)


def listed(words: Iterable[object]) -> str:
    """The words in one line, with what stands between them in the reader's language."""
    return pgettext("between the words of a list", ", ").join(map(str, words))


def nowrap(text: object) -> SafeString:
    return format_html('<span class="whitespace-nowrap">{}</span>', text)


def stack(first: object, second: object) -> SafeString:
    """Two lines in one cell, the second one quieter."""
    return format_html(
        '<span class="flex flex-col text-right lg:text-left"><span class="whitespace-nowrap">{}</span>'
        '<span class="text-subtle text-xs whitespace-nowrap">{}</span></span>',
        first,
        second,
    )


def money(amount_nusd: int | None) -> SafeString | str:
    """The amount, or a visible label where no price was known."""
    return label(_("no price"), "warning") if amount_nusd is None else show_usd(amount_nusd)
