"""Every refusal names the file, the line and the field: also the late ones, and what aliases and merges bring in."""

from pathlib import Path

import msgspec
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.models.signals import pre_save
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.models import Provider
from smartrouter.configfile.checking import form_problems
from smartrouter.configfile.parsing import written_out
from smartrouter.configfile.places import Place
from smartrouter.configfile.reading import read_text
from smartrouter.configfile.schema import BLOCKS, decode
from tests.configfile.applying import assert_refused, refusal_of, refusal_of_files
from tests.configfile.documents import EVERYTHING

pytestmark = pytest.mark.django_db

P = 'providers: [{name: p, base_url: "https://p.example/v1"}]\n'
GOOD_KEY = "rk_places_0123456789012345678"

# A document, and the beginnings of all messages, in their order.
TABLE: list[tuple[str, list[str]]] = [
    # one entry with several fields wrong in their form
    ("providers:\n- name: 5\n  base_url: [x]\n  activ: true\n  kind: null\n",
     ["2: providers[0].name: Expected text, found a whole number.",
      "3: providers[0].base_url: Expected text, found a list.",
      "4: providers[0].activ: There is no such field; did you mean “active”?",
      "5: providers[0].kind: Expected text, found nothing."]),
    # ... and in their meaning
    (P + "channels:\n- name: a b\n  provider: q\n  owner: nobody\n  priority: -1\n  weight: -0.5\n  proxy_url: ftp://x\n"
     "  extra_headers:\n    Host: x\n  param_overrides:\n    stream: true\n  timeouts:\n    idle_s: 0\n    total_s: -1\n"
     "  keys:\n  - digest:x\n  - key: ''\n",
     ["3: channels[0].name: Use letters", "4: channels[0].provider: There is no “q” in providers.",
      "5: channels[0].owner: There is no “nobody” in tenants.", "6: channels[0].priority: Ensure",
      "7: channels[0].weight: Ensure", "8: channels[0].proxy_url: Use http://", "9: channels[0].extra_headers: The header",
      "11: channels[0].param_overrides: “stream” is", "14: channels[0].timeouts.idle_s: Ensure",
      "15: channels[0].timeouts.total_s: Ensure", "17: channels[0].keys[0].key: A digest cannot",
      "18: channels[0].keys[1].key: This key is empty"]),
    # form and meaning, several blocks, from top to bottom whatever the order in which they are looked at
    ("model_groups:\n- name: a b\ntenants:\n- {name: t, timezone: Mars/Base}\n- {name: u, kind: 5}\nproviders:\n"
     "- {name: p, base_url: x}\n- {base_url: 'http://x'}\n",
     ["2: model_groups[0].name: A group's name", "4: tenants[0].timezone: “Mars/Base” is not",
      "5: tenants[1].kind: Expected text", "7: providers[0].base_url: Start the address",
      "8: providers[1].name: “name” is missing."]),
    # the deep ones, block style
    (P + "channels:\n- name: c\n  provider: p\n  models:\n  - m\n  - model: n\n    price:\n      output: 1\n      input: x\n",
     ["10: channels[0].models[1].price.input: Expected a number, found text."]),
    (P + "models:\n- provider: p\n  model: m\n  prices:\n  - effective_from: 2026-01-01\n    tiers:\n"
     "    - {min_prompt_tokens: 5, input: 1}\n    - {min_prompt_tokens: 5, outptu: 1}\n    windows:\n    - start: 01:00\n",
     ["9: models[0].prices[0].tiers[1]: “outptu” is not a price", "11: models[0].prices[0].windows[0]: Each window needs"]),
    # flow mappings over several lines and on one
    (P + "channels: [{name: c, provider: p,\n  keys: [{name: k,\n    key: 5}], models: [{model: m,\n    price: {input: 1,\n"
     "      output: -1}}]}]\n", ["4: channels[0].keys[0].key: Write this as text"]),
    (P + "channels: [{name: c, provider: p, models: [{model: m, price: {input: 1,\n  output: -1}}]}]\n",
     ["3: channels[0].models[0].price.output: Ensure"]),
    ("{tenants: [{name: t, timezone: x, kind: y, parent: z}]}",
     ["1: tenants[0].parent: There is no", "1: tenants[0].kind: Use one of", "1: tenants[0].timezone: “x”"]),
    # what an anchor shares is wrong where it is used
    (P + "models:\n- provider: p\n  model: m\n  price: &cheap\n    input: -1\n- provider: p\n  model: n\n  price: *cheap\n"
     "- {provider: p, model: o, prices: [*cheap]}\n",
     ["6: models[0].price.input: Ensure", "9: models[1].price.input: Ensure",
      "10: models[2].prices[0].effective_from: “effective_from” is missing."]),
    (P + "channels:\n- &base\n  name: c\n  provider: p\n  weight: -1\n- name: d\n  <<: *base\n"
     "- {<<: *base, name: e, weight: 1}\n",
     ["6: channels[0].weight: Ensure", "8: channels[1].weight: Ensure"]),
    ("tenants:\n- &one {name: a, kind: x}\n- &two {name: b, timezone: y}\n-\n  name: c\n  <<: [*one, *two]\n  parent: z\n",
     ["2: tenants[0].kind: Use", "3: tenants[1].timezone: “y”", "6: tenants[2].kind: Use", "6: tenants[2].timezone: “y”",
      "7: tenants[2].parent: There is no"]),
    # names twice
    ("tenants:\n- {name: a}\n- {name: b}\n- {name: a, kind: team}\n",
     ["4: tenants[2]: “a” is there twice; first at f.yml:2: tenants[0]."]),
    (P + "channels:\n- name: c\n  provider: p\n  models:\n  - m\n  - m\n  keys: [a, {name: default, key: b}]\n",
     ["7: channels[0].models[1]: “m” is there twice; first at f.yml:6: channels[0].models[0].",
      "8: channels[0].keys[1]: “default” is there twice; first at f.yml:8: channels[0].keys[0]."]),
    (f"tenants:\n- name: a\n  router_keys:\n  - {{name: k, key: {GOOD_KEY}}}\n- name: b\n  router_keys:\n  - name: l\n"
     f"    key: {GOOD_KEY}\n",
     ["8: tenants[1].router_keys[0].key: This key is there twice; first at f.yml:4: tenants[0].router_keys[0]."]),
    # references: the nearest name, and nothing about entries that are wrong themselves
    ('providers: [{name: openai, base_url: "http://x"}]\nmodels: [{provider: opnai, model: m}]\n',
     ["2: models[0].provider: There is no “opnai” in providers; did you mean “openai”?"]),
    ("providers:\n- {name: p, base_url: 5}\nchannels:\n- {name: c, provider: p}\n- {name: d, provider: q}\n",
     ["2: providers[0].base_url: Expected text", "5: channels[1].provider: There is no “q”"]),
    ("providers: 5\nchannels: [{name: c, provider: p}]\n", ["1: providers: Write a list here."]),
    # environment and seals
    (P + "channels:\n- name: c\n  provider: p\n  extra_headers:\n    X-A: env:NOT_THERE\n    X-B: sealed:AAAA\n",
     ["6: channels[0].extra_headers.X-A: The environment variable NOT_THERE is not set."]),
    (P + "channels:\n- name: c\n  provider: p\n  proxy_url: env:lower_case\n",
     ["5: channels[0].proxy_url: The environment variable that is named here is not set."]),
    # YAML itself
    ("tenants:\n- name: a\n  name: b\n- {name: c, kind: team, kind: person}\n",
     ["3: tenants[0].name: This field is there twice; first in line 2.",
      "4: tenants[1].kind: This field is there twice; first in line 4."]),
    ("tenants:\n  - name: a\n  parent: b\n", ["3: This is not valid YAML (column 3): "]),
    ("tenants: [{name: 'a}]\n", ["1: This is not valid YAML (column "]),
    ("tenants:\n- {name: a, kind: !!int x}\n", ["2: tenants[0].kind: This is not a number."]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), TABLE, ids=[str(number) for number in range(len(TABLE))])
def test_each_problem_names_its_line_and_field(text: str, expected: list[str], tmp_path: Path) -> None:
    assert_refused(text, expected, tmp_path)


def test_the_problems_of_several_files_come_file_by_file(tmp_path: Path) -> None:
    found = refusal_of_files(
        (tmp_path / "z.yml", "\n\ntenants: [{name: a, kind: x}]\nchannels: [{name: c, provider: p, weight: -1}]\n"),
        (tmp_path / "a.yml", P + "tenants: [{name: a}]\n"),
    )

    assert [message.rpartition(": ")[0] for message in found] == [
        "z.yml:3: tenants[0].kind: Use one of",
        "z.yml:4: channels[0].weight",
        "a.yml:2: tenants[0]: “a” is there twice; first at z.yml:3",
    ]


def test_a_file_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    found = refusal_of_files((tmp_path / "a.yml", "tenants: ["), (tmp_path / "b.yml", "tenants: [{nam: t}]\n"))

    assert [message.split(":")[0] for message in found] == ["a.yml", "b.yml", "b.yml"]


def test_what_only_the_database_refuses_has_its_place(tmp_path: Path) -> None:
    """Another writer takes the name between our check and our write."""

    def take_the_name(sender: type[Provider], instance: Provider, **kwargs: object) -> None:
        if instance.name == "late":
            Provider.objects.bulk_create([Provider(name="late", base_url="http://other.example")])

    pre_save.connect(take_the_name, sender=Provider)
    try:
        found = refusal_of(
            'providers:\n- {name: p, base_url: "http://x"}\n- {name: late, base_url: "http://y"}\n', tmp_path
        )
    finally:
        pre_save.disconnect(take_the_name, sender=Provider)

    assert found == ["f.yml:3: providers[1]: The database refused this entry (IntegrityError)."]


def test_only_the_first_hundred_problems_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text("tenants:\n" + "- {name: 5}\n" * 250)

    with pytest.raises(CommandError) as caught:
        call_command("config", "diff", str(path))

    shown = str(caught.value).splitlines()
    assert shown[0] == "Nothing was changed: there are 250 problems."
    assert shown[1].startswith(f"{path}:2: ") and shown[100].startswith(f"{path}:101: ")
    assert shown[101:] == ["… and 150 more."]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=5) | st.floats(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=2),
    max_leaves=4,
)
ENTRIES = [(block, entry) for block, entries in read_text(EVERYTHING, "f.yml")[0].items() for entry in entries]


def changed_somewhere(draw: st.DrawFn, data: object) -> object:
    """The data with one value in it, at any depth, replaced, added or taken away."""
    if isinstance(data, dict) and data and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(data)))
        return {**data, name: changed_somewhere(draw, data[name])}
    if isinstance(data, list) and data and draw(st.booleans()):
        index = draw(st.integers(0, len(data) - 1))
        return [*data[:index], changed_somewhere(draw, data[index]), *data[index + 1 :]]
    if isinstance(data, dict) and data and draw(st.booleans()):
        gone = draw(st.sampled_from(sorted(data)))
        return {name: value for name, value in data.items() if name != gone}
    return draw(VALUES)


@st.composite
def some_entry(draw: st.DrawFn) -> tuple[str, object]:
    block, entry = draw(st.sampled_from(ENTRIES))
    return block, changed_somewhere(draw, entry)


@given(some_entry())
@settings(max_examples=500, deadline=None)
def test_the_check_of_the_form_agrees_with_the_conversion(case: tuple[str, object]) -> None:
    block, data = case[0], written_out(BLOCKS[case[0]], case[1])

    problems = list(form_problems(BLOCKS[block], data, Place("x")))

    try:
        msgspec.convert(data, BLOCKS[block], dec_hook=decode)
    except msgspec.ValidationError:
        assert problems
    else:
        assert not problems
