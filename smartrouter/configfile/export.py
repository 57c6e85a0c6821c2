"""Worker side. The whole configuration as YAML: stable order, only what is not a default, no plain secret."""

import os
import tempfile
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from django.db import transaction
from django.utils.translation import gettext as _

from smartrouter.configfile.export_groups import group_entries, strategy_entries
from smartrouter.configfile.export_rows import (
    channel_entries,
    exchange_rate_entries,
    model_entries,
    provider_entries,
    tenant_entries,
)
from smartrouter.configfile.reading import RESOLVERS
from smartrouter.lib.money import plain_number

_HEADER = """\
# SmartRouter's configuration, written by "manage.py config export". Apply it with "manage.py config apply FILE".
# Values that begin with sealed: can be read only with the ENCRYPTION_KEYS of this installation, router keys as digest:
# work only with its KEY_PEPPER, and env:NAME is read from the environment of whoever applies the file.
# Treat it as a secret all the same. Passwords are not in it.
"""


class _Dumper(yaml.SafeDumper):
    """Block style, no anchors, and quotes around everything that YAML 1.1 or 1.2 would not read as text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_decimal(dumper: yaml.SafeDumper, value: Decimal) -> yaml.Node:
    text = plain_number(value)
    return dumper.represent_scalar("tag:yaml.org,2002:" + ("float" if "." in text else "int"), text)


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    # PyYAML 6.0.3 writes these three line breaks unescaped between single quotes and reads them back as spaces.
    style = '"' if any(char in value for char in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(Decimal, _represent_decimal)
_Dumper.add_representer(str, _represent_text)
for _kind, _pattern, _first in RESOLVERS:
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", _pattern, [*_first])


def export_document() -> str:
    """The whole configuration as YAML text. Raises ConfigError where a sealed value cannot be opened."""
    with transaction.atomic():  # one view of all tables
        blocks: Mapping[str, Iterable[Mapping[str, Any]]] = {
            "providers": provider_entries(),
            "models": model_entries(),
            "exchange_rates": exchange_rate_entries(),
            "tenants": tenant_entries(),
            "channels": channel_entries(),
            "model_groups": group_entries(),
            "strategies": strategy_entries(),
        }
        document = {name: entries for name, found in blocks.items() if (entries := list(found))}
    return _HEADER + dump_yaml(document)


def dump_yaml(document: Mapping[str, Any]) -> str:
    """The document as text that reading.read_text reads back as it was."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def write_private(path: Path, text: str) -> None:
    """Put the text into the file, whole or not at all, readable by its owner only. Raises OSError."""
    target = path.resolve()
    if target.is_dir():
        raise IsADirectoryError(21, _("it is a folder"), str(path))
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
