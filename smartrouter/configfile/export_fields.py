"""Worker side. The fields of an entry as the document has them: its words, its order, and no defaults."""

from typing import Any

import msgspec

from smartrouter.configfile.schema import Spec

Fields = dict[str, Any]


def without_defaults(spec: type[Spec], **fields: Any) -> Fields:
    """The fields, in the order of the spec and under its words, that are not what the spec says anyway."""
    found = {}
    for info in msgspec.structs.fields(spec):
        default = info.default if info.default_factory is msgspec.NODEFAULT else info.default_factory()
        if info.name in fields and fields[info.name] != default:
            found[info.encode_name] = fields[info.name]
    return found
