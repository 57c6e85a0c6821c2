"""Worker side. The block channels: the accounts, their sealed keys, what they offer."""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from channels.models import Channel, ChannelKey, Offering, validate_headers, validate_key_text, validate_proxy_url
from smartrouter.accounts.models import Tenant
from smartrouter.configfile.apply_budgets import apply_budgets, holder_of
from smartrouter.configfile.apply_catalogue import model_named
from smartrouter.configfile.apply_prices import apply_prices
from smartrouter.configfile.checking import is_header_name, missing_name
from smartrouter.configfile.cleaning import as_json
from smartrouter.configfile.parsing import Configuration, Entry, refuse_doubled
from smartrouter.configfile.places import Place
from smartrouter.configfile.report import ConfigError
from smartrouter.configfile.rows import Refused, Run, save_row, switch_off, take_renamed, tried
from smartrouter.configfile.schema import ChannelKeySpec, ChannelSpec, OfferingSpec
from smartrouter.configfile.secrets import Given, open_reference
from smartrouter.lib.sealing import SealBroken, Sealed, Secret


def apply_channels(run: Run, entries: Sequence[Entry[ChannelSpec]]) -> None:
    """Write the channels; run.channels knows them afterwards."""
    run.channels = {row.name: row for row in Channel.objects.select_related("provider")}
    for entry in entries:
        with run.entry("channels", entry.spec.name):
            row = _channel_or_more_problems(run, entry.spec, entry.place)
            if entry.spec.keys is not None:
                with run.entry():
                    _apply_keys(run, row, entry.spec.keys, entry.place.at("keys"))
            if entry.spec.models is not None:
                with run.entry():
                    _apply_offerings(run, row, entry.spec.models, entry.place.at("models"))
            with run.entry():
                apply_budgets(run, holder_of(row), entry.spec.budgets, entry.place.at("budgets"))


def default_key_name(index: int) -> str:
    """The name of a channel's key that has none in the document, by its place in the list: default, key-2, key-3."""
    return "default" if index == 0 else f"key-{index + 1}"


def _channel_or_more_problems(run: Run, spec: ChannelSpec, place: Place) -> Channel:
    """The channel. Raises ConfigError, with what can be said of its keys without it as well."""
    try:
        return _apply_channel(run, spec, place)
    except ConfigError as e:
        keys = [(key.key, place.at("keys", index, "key")) for index, key in enumerate(spec.keys or [])]
        found = [tried(_key_of, key, where) for key, where in keys if key is not None]
        raise ConfigError(
            [*e.problems, *(p for each in found if isinstance(each, Refused) for p in each.problems)]
        ) from e


def _apply_channel(run: Run, spec: ChannelSpec, place: Place) -> Channel:
    row = take_renamed(run.channels, spec.name, spec.was, place) or Channel()
    values = {
        "name": spec.name,
        "provider": tried(run.find, "providers", run.providers, spec.provider, place.at("provider")),
        "owner": tried(_owner, run, spec.owner, place.at("owner")),
        "base_url": spec.base_url,
        "is_active": spec.active,
        "priority": spec.priority,
        "weight": spec.weight,
        "region": spec.region,
        "timezone": spec.timezone,
        "param_overrides": tried(as_json, spec.param_overrides, place.at("param_overrides")),
        "connect_timeout_s": spec.timeouts.connect_s,
        "first_byte_timeout_s": spec.timeouts.first_content_s,
        "idle_timeout_s": spec.timeouts.idle_s,
        "total_timeout_s": spec.timeouts.total_s,
        **_if_new(row, "proxy_url", tried(_proxy_of, spec, place.at("proxy_url"))),
        **_if_new(row, "extra_headers", tried(_headers_of, spec, place.at("extra_headers"))),
    }
    run.channels[spec.name] = save_row(run, row, values, place, label=spec.name)
    return row


def _owner(run: Run, name: str | None, place: Place) -> Tenant | None:
    return run.find("tenants", run.tenants, name, place) if name else None


def _proxy_of(spec: ChannelSpec, place: Place) -> str | None:
    if spec.proxy_url is None:
        return None
    url = open_reference(spec.proxy_url, place).reveal()
    try:
        validate_proxy_url(url)
    except ValidationError as e:
        raise ConfigError([place.says(message) for message in e.messages]) from e
    return url


def _headers_of(spec: ChannelSpec, place: Place) -> dict[str, str] | None:
    if not all(map(is_header_name, spec.extra_headers)):
        raise ConfigError([place.says(missing_name())])
    headers = {name: open_reference(value, place.at(name)).reveal() for name, value in spec.extra_headers.items()}
    try:
        validate_headers(headers)
    except ValidationError as e:
        raise ConfigError([place.says(message) for message in e.messages]) from e
    return headers or None


def _if_new(row: Channel | ChannelKey, name: str, value: Any) -> dict[str, Secret | Refused | None]:
    """The sealed column's new value; nothing where it holds the same already, so that nothing is sealed anew."""
    if isinstance(value, Refused):
        return {name: value}
    old = getattr(row, name, None)
    if isinstance(old, Sealed):
        try:
            old = old.open(row.uid)
        except SealBroken:
            return {name: None if value is None else Secret(value)}  # the new one replaces what nobody can read
    wanted = None if value is None else Secret(value)
    return {} if old == wanted else {name: wanted}


def _apply_keys(run: Run, channel: Channel, specs: Sequence[ChannelKeySpec], place: Place) -> None:
    names = [spec.name or default_key_name(index) for index, spec in enumerate(specs)]
    refuse_doubled([(name, place.at(index)) for index, name in enumerate(names)])
    rows = {row.name: row for row in channel.keys.all()}
    for index, (name, spec) in enumerate(zip(names, specs, strict=True)):
        with run.entry():
            _apply_key(run, rows.get(name) or ChannelKey(channel=channel), name, spec, place.at(index))
    for name, row in sorted(rows.items()):
        if name not in names:
            switch_off(run, row, place, f"{channel.name}/{name}")


def _apply_key(run: Run, row: ChannelKey, name: str, spec: ChannelKeySpec, place: Place) -> None:
    values: dict[str, Any] = {"name": name, "is_active": spec.active}
    given = tried(_key_of, spec.key, place.at("key")) if spec.key is not None else None
    if isinstance(given, Refused):
        values["secret"] = given
    elif given is not None:
        values["env_name"] = given.env_name
        sealed = _if_new(row, "secret", given.reveal())
        if row._state.adding or sealed:
            probe = ChannelKey()
            probe.set_secret(given.reveal())
            values.update(secret=probe.secret, last_four=probe.last_four)
    elif row._state.adding:
        said = _("A new channel key needs its key: env:NAME, sealed:… or the key itself.")
        values["secret"] = Refused((place.at("key").says(said),))
    save_row(run, row, values, place, label=f"{row.channel.name}/{name}")


def _key_of(written: Secret, place: Place) -> Given:
    given = open_reference(written, place)
    if not given.secret:
        raise ConfigError([place.says(_("This key is empty; the channel of a server that needs none has no keys."))])
    try:
        validate_key_text(given.reveal())
    except ValidationError as e:
        raise ConfigError([place.says(message) for message in e.messages]) from e
    return given


def _apply_offerings(run: Run, channel: Channel, specs: Sequence[OfferingSpec], place: Place) -> None:
    names = [spec.name or spec.model for spec in specs]
    refuse_doubled([(name, place.at(index)) for index, name in enumerate(names)])
    rows = {row.name: row for row in channel.offerings.select_related("provider_model")}
    for index, (name, spec) in enumerate(zip(names, specs, strict=True)):
        with run.entry():
            where = place.at(index)
            values = {
                "name": name,
                "provider_model": tried(model_named, run, channel.provider, spec.model, where),
                "aliases": spec.aliases,
                "is_active": spec.active,
            }
            row = rows.get(name) or Offering(channel=channel)
            save_row(run, row, values, where, label=f"{channel.name}/{name}")
            apply_prices(run, row, spec, where)
    for name, row in sorted(rows.items()):
        if name not in names:
            switch_off(run, row, place, f"{channel.name}/{name}")


def warn_of_dead_offerings(run: Run, configuration: Configuration) -> None:
    """Say where an offering stands for a model that is switched off and that the files themselves do not have."""
    listed = {(entry.spec.provider, entry.spec.model) for entry in configuration.models}
    for entry in configuration.channels:
        for index, spec in enumerate(entry.spec.models or []):
            row = run.models[entry.spec.provider, spec.model]
            if spec.active and not row.is_active and (entry.spec.provider, spec.model) not in listed:
                said = _("The model “%s” is switched off in the catalogue; nothing is served by this offering.")
                run.warn(entry.place.at("models", index).says(said % row))
