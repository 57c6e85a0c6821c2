"""config diff: what apply would change, field by field, and not a row written."""

import io
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from channels.models import Channel
from smartrouter.accounts.keys import digest_of
from smartrouter.accounts.models import RouterKey
from smartrouter.configfile import apply_files, export_document
from smartrouter.configfile.secrets import seal_for_document
from tests.configfile.applying import apply
from tests.configfile.documents import (
    CI_KEY,
    EVERYTHING,
    LITERAL_KEY,
    LITERAL_ROUTER_KEY,
    OPENAI_KEY,
    everything_stored,
)

pytestmark = pytest.mark.django_db

# A second version of EVERYTHING: something of each sort changes.
EDITS = (
    ("- name: main\n", "- name: primary\n    was: main\n"),
    ("weight: 0.25", "weight: 2"),
    ("temperature: 0.2, top_p: 1.0", "temperature: 0.3, top_k: 4"),
    ("{temperature: 0.3", "{stop_too: [a], temperature: 0.3"),
    ("input: 0.150000001", "input: 0.2"),
    ("price: {input: 0, output: 0}", "price: {input: 1.50, output: 0}"),
    ("usd: 0.1400000001, effective_from: 2026-01-01T00:00:00Z", "usd: 0.15"),
    ("display_name: All\n", 'display_name: ""\n'),
    ("channel: main, model: fast", "channel: primary, model: fast"),
    ("- {provider: openai, model: gpt-4o-mini}", "- {provider: openai, model: gpt-4o}"),
    ("aliases: [quick, ", "aliases: [quicker, "),
    ("{name: plain, provider: local}", "{name: plain, provider: local, active: false}"),
    ("{name: leaf, parent: root, kind: team}", "{name: leaf, kind: team}"),
    (LITERAL_KEY, "a-new-literal-key-42"),
    ("expires_at: 2030-01-01", "expires_at: 2031-06-01T12:00:00Z"),
    (", capabilities: []", ""),
    ("region: us-east,", ""),
    ("    timezone: Europe/Berlin\n", ""),
    ('denied_models: ["gpt-4*", "local/*"]', 'denied_models: ["gpt-4*"]'),
    ("field: speed_score}", "field: speed_score, order: asc}"),
    ("fallback: auto:some", "fallback: auto:any"),
    ("daily_limit: 50", "daily_limit: 60"),
    ("routing_strategy: cost_first\n", "routing_strategy: [{field: free}]\n"),
    ("tags: [qwen, 30b]", "select: true"),
    ("max_cost_per_1k: 0.000000001, ", ""),
    ("routing_strategy: local_first,\n         members_of: auto:some", "members_of: auto:none"),
    ("- {from: 22:00, to: 06:00", "- {from: 23:00, to: 24:00"),
    ("- {members_of: auto:none}", "- {days: [0, 1, 2, 3, 4, 5, 6], members_of: auto:none}"),
    ('"*", routing_strategy: balanced', '"*", routing_strategy: hybrid'),
    ("weight: 2.5}, {field: response_time, order: asc}", "weight: 2.5}, {field: response_time}"),
)
CHANGED = """\
providers:
  changed: provider openai
      region: us-east -> (none)
models:
  changed: model price openai/gpt-4o-mini from 2026-01-01 00:00
      input: 0.150000001 -> 0.2
  changed: provider model openai/gpt-plain
      capabilities: [] -> (none)
exchange_rates:
  added: exchange rate CNY from now
      usd: 0.1400000001 -> 0.15
tenants:
  changed: tenant leaf
      parent: root -> (none)
  changed: router key root/ci
      denied_models: ["gpt-4*", "local/*"] -> ["gpt-4*"]
      expires_at: 2030-01-01T00:00:00Z -> 2031-06-01T12:00:00Z
channels:
  renamed: channel primary (was main)
      weight: 0.25 -> 2
      timezone: Europe/Berlin -> UTC
      param_overrides.stop_too: (none) -> ["a"]
      param_overrides.temperature: 0.2 -> 0.3
      param_overrides.top_k: (none) -> 4
      param_overrides.top_p: 1 -> (none)
  changed: channel key primary/key-2
      key: (changed)
  changed: offering primary/fast
      aliases: ["quick", "007"] -> ["quicker", "007"]
  added: offering price primary/fast from now
      input: 0 -> 1.5
  switched off: channel plain
model_groups:
  changed: model group auto:some
      routing_strategy: cost_first -> free 1
      tags: ["qwen", "30b"] -> []
      filters.max_cost_per_1k: 0.000000001 -> (none)
  changed: model group auto:all
      display_name: All -> (none)
      routing_strategy: effective_cost desc 0.5, speed_score 1, local 0 -> effective_cost desc 0.5, speed_score asc 1, local 0
      fallback: auto:some -> auto:any
  changed: group member auto:all: primary/fast
      daily_limit: 50 -> 60
  added: group member auto:all: openai/gpt-4o
  removed: group member auto:all: openai/gpt-4o-mini
  changed: time policy auto:all: mon, tue, sun 08:00-18:30:15 Asia/Shanghai
      routing_strategy: local_first -> (none)
      members_of: auto:some -> auto:none
  added: time policy auto:all: every day 23:00-00:00 UTC
      routing_strategy: free 3
  removed: time policy auto:all: every day 22:00-06:00 UTC
strategies:
  changed: strategy rule *
      routing_strategy: balanced -> hybrid
4 added, 12 changed, 1 renamed, 1 switched off, 2 removed.
"""


def edited() -> str:
    text = EVERYTHING
    for old, new in EDITS:
        assert old in text
        text = text.replace(old, new)
    return text


def config(*arguments: object) -> str:
    """What the command prints."""
    out = io.StringIO()
    call_command("config", *map(str, arguments), stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_each_row_is_shown_with_its_fields_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text(edited())
    apply(EVERYTHING)
    before = everything_stored()

    shown = config("diff", path)

    assert shown == CHANGED
    assert everything_stored() == before


def test_apply_reports_what_diff_said_and_then_there_is_nothing_left(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text(edited())
    apply(EVERYTHING)

    dry = config("apply", "--dry-run", path)
    applied = config("apply", path)

    assert dry == CHANGED + "A dry run: nothing was written.\n"
    assert applied == CHANGED
    assert config("diff", path) == "No changes.\n"


def test_new_rows_are_shown_with_what_is_not_a_default(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text("""\
providers: [{name: p, base_url: "https://p.example/v1"}]
channels: [{name: c, provider: p, keys: ["env:OPENAI_API_KEY", a-literal-key], models: [m, {name: n, model: m}]}]
""")

    shown = config("diff", path)

    assert shown == """\
providers:
  added: provider p
      base_url: https://p.example/v1
models:
  added: provider model p/m
channels:
  added: channel c
      provider: p
  added: channel key c/default
      key: env:OPENAI_API_KEY
  added: channel key c/key-2
      key: (set)
  added: offering c/m
  added: offering c/n
      model: m
7 added.
"""  # fmt: skip


def test_ones_own_export_is_no_change_through_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    apply(EVERYTHING)
    exported = export_document()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(exported.encode())))

    shown = config("diff", "--prune", "--exit-code", "-")

    assert "sealed:" in exported and shown == "No changes.\n"


def test_standard_input_has_its_place_in_messages_and_comes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\ntenants: [{name: t, kind: x}]\n")))
    with pytest.raises(CommandError, match=r"(?m)^stdin:2: tenants\[0\]\.kind: Use one of: "):
        config("diff", "-")

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"tenants: []\n")))
    with pytest.raises(CommandError, match=r"(?m)^stdin: Standard input can be given only once"):
        config("diff", "-", "-")


def test_a_key_is_compared_by_what_it_is_not_by_how_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    head = 'providers: [{name: p, base_url: "https://p.example/v1"}]\n'
    text = head + "channels: [{name: c, provider: p, keys: ['%s']}]"
    apply(text % "env:OPENAI_API_KEY")
    monkeypatch.setenv("OTHER_NAME", OPENAI_KEY)

    def fields(written: str) -> list[str]:
        return [str(change) for line in apply(text % written, dry_run=True).lines for change in line.fields]

    assert fields("env:OPENAI_API_KEY") == []
    assert fields("env:OTHER_NAME") == ["key: (the same) env:OPENAI_API_KEY -> env:OTHER_NAME"]
    assert fields(OPENAI_KEY) == ["key: (the same) env:OPENAI_API_KEY -> (written out)"]
    assert fields(seal_for_document(OPENAI_KEY)) == ["key: (the same) env:OPENAI_API_KEY -> (written out)"]
    assert fields(seal_for_document("another-key-123")) == ["key: (changed)"]


def test_sealed_headers_and_proxies_are_compared_by_what_they_contain() -> None:
    apply(EVERYTHING)
    main = Channel.objects.get(name="main")
    proxy = main.open_sealed("proxy_url")
    assert proxy is not None

    same = apply(
        EVERYTHING.replace(f'proxy_url: "{proxy.reveal()}"', f"proxy_url: {seal_for_document(proxy.reveal())}")
    )
    other = apply(EVERYTHING.replace("header-secret-", "header-SECRET-"), dry_run=True)

    assert same.is_unchanged
    assert [(str(line), *map(str, line.fields)) for line in other.lines] == [
        ("channel main (extra_headers)", "extra_headers: (changed)")
    ]


def test_a_router_key_as_its_digest_is_the_same_key() -> None:
    text = "tenants: [{name: t, router_keys: [{name: k, key: '%s'%s}]}]"
    apply(text % (LITERAL_ROUTER_KEY, ""))
    hint = RouterKey.objects.get().hint

    same = apply(text % (f"digest:{digest_of(LITERAL_ROUTER_KEY)}", f", hint: '{hint}'"), dry_run=True)
    other = apply(text % (f"digest:{digest_of(CI_KEY)}", ""), dry_run=True)

    assert same.is_unchanged
    assert [str(change) for line in other.lines for change in line.fields] == ["key: (changed)"]


def test_diff_warns_of_members_that_wait_as_apply_does(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text("model_groups: [{name: g, channels: [{provider: x, model: m}]}]\n")

    report = apply_files([path], dry_run=True)

    assert report.warnings == apply_files([path]).warnings
    assert "the member waits for it" in report.warnings[0]


def test_what_could_trick_a_terminal_is_shown_as_escapes(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text('tenants: [{name: "t\\e[2Jx", display_name: "a\\u202Eb\\nadded: tenant c"}]\n')

    shown = config("diff", path)

    assert '  added: tenant "t\\u001b[2Jx"\n      display_name: "a\\u202eb\\nadded: tenant c"\n' in shown
    assert shown.count("\n") == 4


def test_long_texts_are_cut_to_where_they_differ() -> None:
    text = "model_groups: [{name: g, active: false, description: '%s'}]"
    apply(text % ("x" * 500 + "old" + "y" * 500))

    (line,) = apply(text % ("x" * 500 + "new" + "y" * 500)).lines

    (change,) = line.fields
    assert change.old != change.new
    assert "old" in str(change) and "new" in str(change) and len(str(change)) < 300
