"""docker-compose.yml and the Dockerfile, read."""

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from tests.stores import ROOT

# ${NAME}, ${NAME:-default}, ${NAME:?message}; $$ is a dollar.
VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Z_]+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\})")
TEXT = (ROOT / "docker-compose.yml").read_text()


@cache
def compose() -> dict[str, Any]:
    """The file with its anchors resolved and its variables as written."""
    loaded: dict[str, Any] = yaml.safe_load(TEXT)
    return loaded


def services() -> dict[str, dict[str, Any]]:
    """The services by name."""
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def ours() -> dict[str, dict[str, Any]]:
    """The services that run our image."""
    return {name: service for name, service in services().items() if service["image"].startswith("smartrouter:")}


def variables() -> dict[str, str | None]:
    """The variables of the file: `?` for required ones, otherwise the default."""
    return {m["name"]: "?" if m["kind"] == "?" else m["rest"] for m in VARIABLE.finditer(TEXT) if m["name"]}


def resolved(value: Any, values: dict[str, str]) -> Any:
    """The value as compose hands it on, with these variables set."""

    def one(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "$"
        if match["name"] in values:
            return values[match["name"]]
        assert match["kind"] == "-", f"{match['name']} is required"
        return match["rest"]

    if isinstance(value, str):
        return VARIABLE.sub(one, value)
    if isinstance(value, list):
        return [resolved(each, values) for each in value]
    if isinstance(value, dict):
        return {key: resolved(each, values) for key, each in value.items()}
    return value


def seconds(text: str) -> float:
    """A compose duration in seconds, with the defaults of its variables."""
    return float(resolved(text, {}).removesuffix("s"))


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the Dockerfile: its base, its name, its instructions."""

    base: str
    name: str
    steps: tuple[tuple[str, str], ...]

    def all(self, instruction: str) -> list[str]:
        """The arguments of each instruction of this kind."""
        return [argument for name, argument in self.steps if name == instruction]

    def words(self, instruction: str) -> list[str]:
        """The words of an instruction in exec form."""
        (text,) = self.all(instruction)
        found: list[str] = json.loads(text[text.index("[") :])
        return found


@cache
def stages() -> tuple[Stage, ...]:
    """The Dockerfile's stages, in order."""
    text = (ROOT / "Dockerfile").read_text()
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    found: list[tuple[str, str, list[tuple[str, str]]]] = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        instruction, _, argument = line.partition(" ")
        if instruction == "FROM":
            base, _, name = argument.partition(" AS ")
            found.append((base, name, []))
        else:
            found[-1][2].append((instruction, argument.strip()))
    return tuple(Stage(base, name, tuple(steps)) for base, name, steps in found)
