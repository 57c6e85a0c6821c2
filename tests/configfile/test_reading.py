"""YAML as the configuration file takes it."""

import time
from decimal import Decimal
from pathlib import Path

import pytest

from smartrouter.configfile.places import line_of
from smartrouter.configfile.reading import FILE_BYTES_AT_MOST, read_file, read_text
from smartrouter.configfile.report import ConfigError

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
MERGE_BOMB = "a0: &a0 {k0: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}], k{n}: 1}}\n" for n in range(1, 10)
)


def messages_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_text(text, "f.yml")
    return caught.value.messages


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("0.15", Decimal("0.15")),
        ("1e-7", Decimal("0.0000001")),
        ("123456789012345678901234567890.123456789", Decimal("123456789012345678901234567890.123456789")),
        ("3", 3),
        ("010", 10),
        ("0x1F", 31),
        ("10:30", "10:30"),
        ("1_000", "1_000"),
        ("yes", "yes"),
        ("no", "no"),
        ("true", True),
        ("~", None),
        ("2026-01-01", "2026-01-01"),
        (".inf", ".inf"),
    ],
)
def test_a_plain_value_is_read_as_yaml_1_2_and_exactly(written: str, read: object) -> None:
    content, _place = read_text(f"a: {written}", "f.yml")

    assert content == {"a": read}
    assert type(content["a"]) is type(read)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yml:1: The file is empty."),
        ("# only a comment\n", "f.yml:1: The file is empty."),
        ("a: [1,\nb: {", "f.yml:2: This is not valid YAML"),
        ("a: 1\n\tb: 2", "f.yml:2: This is not valid YAML"),
        ("a: 1\n---\nb: 2\n", "f.yml:2: This is not valid YAML"),
        ("a: 1\nb: 2\na: 3\n", "f.yml:3: This field is there twice; first in line 1."),
        ("a:\n  - {b: 1, b: 2}\n", "f.yml:2: This field is there twice; first in line 2."),
        ("a: &x\n  b: *x\n", "f.yml:1: An alias stands inside the value that it names."),
        ("a: *nowhere\n", "f.yml:1: This is not valid YAML"),
        ("a: !!python/object/apply:os.system [ls]\n", "f.yml:1: This is not valid YAML"),
        ("a: !!binary aGVsbG8=\n", "f.yml:1: This is not valid YAML"),
        ("a: !!int x\n", "f.yml:1: This is not a number."),
        ("a: !!float nan\n", "f.yml:1: This is not a number."),
        ("a: !!bool 1\n", "f.yml:1: Write true or false."),
        (f"a: {'9' * 5000}\n", "f.yml:1: This is not a number."),
        ('a: "x\\0y"\n', "f.yml:1: This text has a character that cannot be stored."),
        ('a: 1\nb: "\\ud800"\n', "f.yml:2: This "),
        ("a: 1\nb: \x07\n", "f.yml:2: There is a character that YAML does not allow."),
        ("? [a, b]\n: 1\n", "f.yml:1: A key must be text."),
        (BOMB, "f.yml: The file's aliases stand for more than 100000 values."),
        (MERGE_BOMB, "f.yml: The file's aliases stand for more than 100000 values."),
        ("[" * 100_000, "f.yml:1: The file is nested more than 40 levels deep."),
        ("{a: " * 100_000, "f.yml:1: The file is nested more than 40 levels deep."),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text: str, message: str) -> None:
    started = time.monotonic()

    found = messages_of(text)

    assert found[0].startswith(message)
    assert time.monotonic() - started < 5


def test_no_message_quotes_the_text_of_the_file() -> None:
    for text in (
        'key: "sk-secret-1\n',
        "key: *sk-secret-1\n",
        "key: !sk-secret-1 x\n",
        "key: @sk-secret-1\n",
        "key: sk-secret-1: x: y\n",
        "{sk-secret-1: 1, sk-secret-1: 2}",
        "key: %sk-secret-1",
        "&sk-secret-1 a: *sk-secret-12",
    ):
        assert "secret" not in "\n".join(messages_of(text)), text


def test_anchors_and_merges_work_and_keep_their_lines() -> None:
    text = "a: &base {x: 1}\nb:\n  <<: *base\n  y: 2\n"

    content, place = read_text(text, "f.yml")

    assert content == {"a": {"x": 1}, "b": {"x": 1, "y": 2}}
    assert place.root is not None
    assert line_of(place.root, ("b", "y")) == 4
    assert line_of(place.root, ("b", "missing")) == 2


@pytest.mark.parametrize("make", ["missing", "folder", "latin", "large"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, make: str) -> None:
    path = tmp_path / "f.yml"
    if make == "folder":
        path.mkdir()
    elif make == "latin":
        path.write_bytes(b"a: 1\nb: \xe9\n")
    elif make == "large":
        path.write_bytes(b"#" * (FILE_BYTES_AT_MOST + 1))

    with pytest.raises(ConfigError) as caught:
        read_file(path)

    expected = {
        "missing": f"{path}: The file cannot be read: No such file or directory.",
        "folder": f"{path}: The file cannot be read: Is a directory.",
        "latin": f"{path}:2: The file is not text in UTF-8.",
        "large": f"{path}: The file is larger than 16 MiB.",
    }
    assert caught.value.messages == [expected[make]]


def test_a_byte_order_mark_is_no_part_of_the_first_field(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_bytes(b"\xef\xbb\xbfproviders: []\n")

    assert read_file(path)[0] == {"providers": []}
