"""Worker side. The lines of a YAML file: a tree of where each value stands, read from the parser's events."""

from dataclasses import replace
from typing import Any

import yaml
from django.utils.translation import gettext as _

from smartrouter.configfile.places import Place, Spot
from smartrouter.configfile.report import ConfigError

DEPTH_AT_MOST = 40

# libyaml where PyYAML was built with it: the same results about ten times faster.
FAST_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Open:
    """A collection whose end has not come yet."""

    def __init__(self, spot: Spot, *, is_mapping: bool) -> None:
        self.spot = spot
        self.is_mapping = is_mapping
        self.key: tuple[int, str | None, bool] | None = None  # line, name (None for a key that is no text), whether <<

    def take(self, spot: Spot, name: str | None, *, is_merge: bool) -> None:
        """Put in what comes next: an item, a key, or the value of the key before."""
        if not self.is_mapping:
            self.spot.items.append(spot)
        elif self.key is None:
            self.key = (spot.line, name, is_merge)
        else:
            line, key, merges = self.key
            if merges:
                self.spot.merged.append((line, spot))
            elif key is not None:
                self.spot.fields[key] = (line, spot)
            self.key = None


def read_spots(text: str, place: Place) -> Spot | None:
    """The tree of the text's first document; None for none. Raises YAMLError, and ConfigError for one too deep.

    It comes before anything recursive looks at the text.
    """
    root: Spot | None = None
    anchors: dict[str, Spot] = {}
    above: list[_Open] = []
    for event in yaml.parse(text, Loader=FAST_LOADER):
        if isinstance(event, yaml.CollectionEndEvent):
            above.pop()
            continue
        if not isinstance(event, yaml.NodeEvent) or event.start_mark is None:
            continue
        spot = Spot(event.start_mark.line + 1)
        name, is_merge = None, False
        if isinstance(event, yaml.AliasEvent):
            spot.target = anchors.get(event.anchor or "")
        elif event.anchor is not None:
            anchors[event.anchor] = spot
        if isinstance(event, yaml.ScalarEvent):
            name = event.value
            is_merge = name == "<<" and event.implicit[0]
        if above:
            above[-1].take(spot, name, is_merge=is_merge)
        root = root or spot
        if isinstance(event, yaml.CollectionStartEvent):
            above.append(_Open(spot, is_mapping=isinstance(event, yaml.MappingStartEvent)))
            if len(above) > DEPTH_AT_MOST:
                said = _("The file is nested more than %d levels deep.") % DEPTH_AT_MOST
                raise ConfigError([replace(place, line=spot.line).says(said)])
    return root
