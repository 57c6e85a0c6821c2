"""Worker side. Which of the starter configuration's rows this installation gets."""

from collections.abc import Mapping, Sequence
from typing import Any

SIMULATOR = "simulator"


def choose(
    everything: Mapping[str, Any], environment: Mapping[str, str], simulator_ports: Sequence[int] | None
) -> dict[str, Any]:
    """A document with the channels whose variables are set, the simulator's at its ports, and what these need."""
    channels = [dict(each) for each in everything["channels"] if _is_wanted(each, environment, simulator_ports)]
    names = {channel["name"] for channel in channels}
    used = {channel["provider"] for channel in channels}
    providers = [dict(provider) for provider in everything["providers"] if provider["name"] in used]
    if simulator_ports:
        addresses = [f"http://127.0.0.1:{port}/v1" for port in simulator_ports]
        simulated = [channel for channel in channels if channel["provider"] == SIMULATOR]
        for channel, address in zip(simulated, addresses, strict=True):
            channel["base_url"] = address
        for provider in providers:
            if provider["name"] == SIMULATOR:
                provider["base_url"] = addresses[0]
    return {
        "providers": providers,
        "models": [model for model in everything["models"] if model["provider"] in used],
        "channels": channels,
        "model_groups": [
            group
            for group in everything["model_groups"]
            if {member["channel"] for member in group.get("channels", ())} <= names
        ],
        "tenants": [dict(tenant) for tenant in everything["tenants"]],
    }


def first_model(document: Mapping[str, Any]) -> str | None:
    """A name that a first call can ask for: the first group with members, else the first channel's first model, else None."""
    for group in document["model_groups"]:
        if group.get("channels"):
            return str(group["name"])
    for channel in document["channels"]:
        return f"{channel['provider']}/{channel['models'][0]}"
    return None


def _is_wanted(
    channel: Mapping[str, Any], environment: Mapping[str, str], simulator_ports: Sequence[int] | None
) -> bool:
    """Whether the simulator runs for this channel, or every variable that its keys name is set."""
    if channel["provider"] == SIMULATOR:
        return simulator_ports is not None
    return all(environment.get(key.removeprefix("env:"), "").strip() for key in channel["keys"])
