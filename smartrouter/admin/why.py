"""Worker side. The page “Why this one?”: who would serve a request, in which order, and why the others would not."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.fields import UnfoldAdminAutocompleteModelChoiceField
from unfold.views import BaseAutocompleteView
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanWidget,
)

from billing.models import UsageRecord
from channels.models import Channel
from providers.capabilities import AUDIO, FUNCTION_CALLING, JSON_SCHEMA, VISION, bits_of
from providers.models import ProviderModel
from routing.resolve import NAMES_AT_MOST
from routing.strategies import PRESET_LABELS
from smartrouter.accounts.models import RouterKey
from smartrouter.admin.choice_parts import field_label, layers_text, live_texts, strategy_label, two_lines, value_cell
from smartrouter.admin.fields import CheckboxRow
from smartrouter.admin.labels import hint, label, link_to, listed
from smartrouter.admin.why_answer import Answer, NoAnswer, Question, answer_to

PERMISSIONS = ("routing.view_modelgroup", "accounts.view_routerkey", "channels.view_channel")
NAME_AT_MOST = 200
TOKENS_AT_MOST = 100_000_000
NEEDS = [
    (FUNCTION_CALLING, gettext_lazy("tools")),
    (VISION, gettext_lazy("images")),
    (AUDIO, gettext_lazy("audio")),
    (JSON_SCHEMA, gettext_lazy("JSON schema")),
]


class WhyForm(forms.Form):
    """What is asked. All of it stands in the address, so that a link can be shared."""

    key = UnfoldAdminAutocompleteModelChoiceField(
        "admin:why_keys",
        RouterKey.objects.select_related("tenant"),
        required=False,
        label=gettext_lazy("Router key"),
        help_text=gettext_lazy("Empty: as the platform, with every tenant's channels and without lists of models."),
    )
    models = forms.CharField(
        required=False,
        label=gettext_lazy("Models"),
        help_text=gettext_lazy("One a line, tried in this order. Empty: the key's default model."),
        widget=UnfoldAdminTextareaWidget({"rows": 2, "spellcheck": "false"}),
    )
    needs = forms.MultipleChoiceField(
        required=False, choices=NEEDS, label=gettext_lazy("The request has"), widget=CheckboxRow
    )
    prompt_tokens = forms.IntegerField(
        initial=1000,
        min_value=0,
        max_value=TOKENS_AT_MOST,
        label=gettext_lazy("Prompt tokens"),
        widget=UnfoldAdminIntegerFieldWidget,
    )
    output_tokens = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=TOKENS_AT_MOST,
        label=gettext_lazy("Output limit (tokens)"),
        widget=UnfoldAdminIntegerFieldWidget,
    )
    strategy = forms.ChoiceField(
        required=False,
        choices=lambda: [("", _("as configured")), *PRESET_LABELS.items()],
        label=gettext_lazy("Strategy"),
        widget=UnfoldAdminSelectWidget,
    )
    streamed = forms.BooleanField(required=False, label=gettext_lazy("Streamed"), widget=UnfoldBooleanWidget)

    def clean_models(self) -> tuple[str, ...]:
        """The names, each once."""
        lines = [line.strip() for line in self.cleaned_data["models"].splitlines()]
        names = tuple(dict.fromkeys(line for line in lines if line))
        if len(names) > NAMES_AT_MOST:
            raise ValidationError(_("At most %d names can be asked for.") % NAMES_AT_MOST, code="many")
        if any(len(name) > NAME_AT_MOST for name in names):
            raise ValidationError(_("A name has at most %d characters.") % NAME_AT_MOST, code="long")
        return names

    def question(self) -> Question:
        """The request that the valid form describes."""
        data = self.cleaned_data
        return Question(
            key=data["key"].pk if data["key"] else None,
            names=data["models"],
            needs=bits_of(data["needs"]),
            prompt_tokens=data["prompt_tokens"],
            output_tokens=data["output_tokens"],
            is_streamed=data["streamed"],
            strategy=data["strategy"],
        )


def check_may_ask(request: HttpRequest) -> None:
    """Raise PermissionDenied for those who may not see groups, keys and channels."""
    if not request.user.has_perms(PERMISSIONS):
        raise PermissionDenied


def show_why(request: HttpRequest) -> HttpResponse:
    """The page: the form, and below it the account of the request that it describes."""
    check_may_ask(request)
    form = WhyForm(request.GET or None)
    context: dict[str, Any] = {**admin.site.each_context(request), "title": _("Why this one?"), "form": form}
    if form.is_bound and form.is_valid():
        try:
            context.update(shown_answer(answer_to(form.question())))
        except NoAnswer as e:
            context["no_answer"] = str(e)
    return TemplateResponse(request, "admin/why.html", context)


class KeysView(BaseAutocompleteView):
    """Router keys by the beginning of typing: in their name or their tenant's."""

    def get_queryset(self) -> QuerySet[RouterKey]:
        check_may_ask(self.request)
        term = self.request.GET.get("term", "").strip()
        tenant, slash, name = term.partition("/")
        found = Q(name__icontains=term) | Q(tenant__name__icontains=term)
        if slash:
            found |= Q(tenant__name__iendswith=tenant, name__istartswith=name)
        return RouterKey.objects.select_related("tenant").filter(found)


def pages() -> list[URLPattern]:
    """The addresses of the page, for the admin site."""
    guarded = admin.site.admin_view

    return [
        path("why/", guarded(show_why), name="why"),
        path("why/keys/", guarded(KeysView.as_view()), name="why_keys"),
    ]


def why_url(record: UsageRecord) -> str:
    """The page, filled in as far as a usage record knows its request."""
    asked = {
        "key": record.router_key_ref, "models": record.requested_model, "prompt_tokens": record.prompt_tokens,
        **({"streamed": "on"} if record.is_streamed else {}),
    }  # fmt: skip
    return f"{reverse('admin:why')}?{urlencode(asked)}"


def shown_answer(answer: Answer) -> dict[str, Any]:
    """The answer's part of the page's context."""
    account = answer.account
    names = {entry["channel"] for part in ("candidates", "excluded") for entry in account[part]}
    channels = {row.name: row for row in Channel.objects.filter(name__in=names).select_related("owner")}
    return {
        "account": account,
        "answer": answer,
        "stages": [
            _stage(index, stage, account, channels) for index, stage in enumerate(account["stages"])
        ],
    }  # fmt: skip


def _stage(index: int, stage: dict[str, Any], account: dict[str, Any], channels: dict[str, Channel]) -> dict[str, Any]:
    candidates = [each for each in account["candidates"] if each["stage"] == index]
    excluded = [each for each in account["excluded"] if each["stage"] == index]
    return {
        **stage,
        "title": stage["group"] or stage["model"],
        "strategy_label": strategy_label(stage["strategy"]),
        "layers_text": layers_text(stage["layers"]),
        "headers": [field_label(layer["field"]) for layer in stage["layers"]],
        "rows": [_row(each, channels) for each in candidates],
        "excluded_rows": [{"channel": _channel(each, channels), "sentence": _sentence(each)} for each in excluded],
    }


def _row(each: dict[str, Any], channels: dict[str, Channel]) -> dict[str, Any]:
    charge = each["estimated_charge_usd"]
    live = live_texts(each["live"])
    lines = ((" · ".join(live[at : at + 2]),) for at in range(0, len(live), 2))
    return {
        "rank": each["rank"],
        "channel": _channel(each, channels),
        "score": _score(each),
        "values": [value_cell(layer) for layer in each["layers"]],
        "charge": label(_("no price"), "warning") if charge is None else f"${charge}",
        "live": format_html_join("", '<div class="whitespace-nowrap">{}</div>', lines) or "-",
    }


def _score(each: dict[str, Any]) -> SafeString | str:
    """The score and the terms of the candidate; only these where nothing is weighed."""
    terms = {"priority": each["priority"], "weight": f"{each['weight']:g}"}
    if each["score"] is None:
        return f"{terms['priority']} · {terms['weight']}"
    score: SafeString | str = f"{each['score']:.4f}"
    if not each["is_weighed"]:
        score = hint(f"≈ {score}", _("Far behind many others: ordered without live signals."))
    return two_lines(score, _("priority %(priority)d · weight %(weight)s") % terms)


def _channel(each: dict[str, Any], channels: dict[str, Channel]) -> SafeString:
    row = channels.get(each["channel"])
    owner = label(row.owner.name, "info", _("This tenant's own channel")) if row is not None and row.owner else ""
    shown = (
        each["upstream_model"]
        if each["upstream_model"] == each["model"]
        else f"{each['model']} → {each['upstream_model']}"
    )
    return two_lines(
        format_html("{} · {} {}", link_to(row, each["channel"]) if row else each["channel"], each["provider"], owner),
        shown,
    )


def _sentence(each: dict[str, Any]) -> str:
    """Why the candidate takes no part, with what it lacks or how long its context is."""
    sentence = str(each["sentence"])
    if each["lacking"]:
        labels = dict(ProviderModel.Capability.choices)
        details = listed(labels.get(name, name) for name in each["lacking"])
    elif each["context_length"]:
        details = _("%s tokens") % f"{each['context_length']:,}"
    else:
        return sentence
    return _("%(name)s: %(value)s") % {"name": sentence, "value": details}
