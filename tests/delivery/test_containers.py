"""What Dockerfile, docker-compose.yml and .env.example promise each other. No Docker engine is asked."""

import re
import subprocess
from pathlib import PurePosixPath

import pytest

from tests.delivery.compose import compose, ours, resolved, seconds, services, stages, variables
from tests.stores import ROOT

SET = {"SECRET_KEY": "s", "ENCRYPTION_KEYS": "e", "KEY_PEPPER": "k", "POSTGRES_PASSWORD": "p", "REDIS_PASSWORD": "r"}
WEBS = ("web-1", "web-2")


def ignored_in_build(path: str) -> bool:
    """Whether .dockerignore keeps a path out of the build: the last pattern that fits decides."""
    is_out = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").removeprefix("**/")
        is_anywhere = line.removeprefix("!").startswith("**/")
        parts = PurePosixPath(path).parts
        heads = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        tails = list(parts)
        if any(PurePosixPath(each).match(pattern) for each in (tails if is_anywhere else heads[:1])):
            is_out = not line.startswith("!")
    return is_out


def test_the_image_is_built_in_two_stages_from_a_pinned_base_and_runs_as_a_fixed_user() -> None:
    build, final = stages()

    assert build.base == final.base
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", final.base)
    assert final.all("USER") == ["10001:10001"]
    assert final.all("VOLUME") == ["/data"]
    assert final.all("STOPSIGNAL") == ["SIGTERM"]
    environment = " ".join(final.all("ENV"))
    assert "PYTHONUNBUFFERED=1" in environment
    assert not re.search(
        r"SECRET_KEY|ENCRYPTION_KEYS|KEY_PEPPER|PASSWORD|TOKEN", " ".join(map(str, (*build.steps, *final.steps)))
    )


def test_what_the_image_copies_is_there_and_is_what_running_needs() -> None:
    copied = [argument.split()[:-1] for stage in stages() for argument in stage.all("COPY") if "--from" not in argument]
    sources = {source for sources in copied for source in sources}

    assert all((ROOT / source).exists() and not ignored_in_build(source) for source in sources)
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    rooms = {path.split("/")[0] for path in tracked if "/" in path and path.endswith((".py", ".html"))} - {"tests"}
    assert rooms - {"docs"} <= sources


@pytest.mark.parametrize(
    "path",
    [".env", ".git/config", "data/secrets.env", "data/smartrouter.sqlite3", "tests/stack.py", "docs/operations.md",
     "smartrouter/.env", "routing/__pycache__/plane.cpython-311.pyc", ".venv/bin/python"],
)  # fmt: skip
def test_the_build_never_sees(path: str) -> None:
    assert ignored_in_build(path)


def test_the_build_sees_translations_and_templates() -> None:
    assert not ignored_in_build("smartrouter/locale/zh_Hans/LC_MESSAGES/django.mo")
    assert not ignored_in_build("templates/admin/index.html")


def test_every_image_is_pinned_to_a_version() -> None:
    images = {service["image"] for name, service in services().items() if name not in ours()}

    assert len(images) == 3
    assert all(re.fullmatch(r"(postgres|redis|nginx):\d+\.\d+(\.\d+)?-\w+", image) for image in images)


def test_only_nginx_is_reached_from_outside_and_the_stores_reach_nobody() -> None:
    published = [name for name, service in services().items() if service.get("ports")]

    assert published == ["nginx"]
    assert compose()["networks"]["stores"]["internal"] is True
    assert services()["postgres"]["networks"] == services()["redis"]["networks"] == ["stores"]
    assert "stores" not in services()["nginx"]["networks"]


def test_no_secret_is_in_the_file_and_each_that_is_needed_is_demanded() -> None:
    required = {name for name, default in variables().items() if default == "?"}

    assert required == set(SET)
    for service in services().values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"SECRET|PASSWORD|PEPPER|KEYS|AUTH|_URL", name):
                assert "${" in value and ":?" in value, name


def test_every_variable_of_the_file_is_in_the_example() -> None:
    text = (ROOT / ".env.example").read_text()
    known = set(re.findall(r"^#?([A-Z_]+)=", text, flags=re.MULTILINE))

    assert set(variables()) <= known
    set_by_compose = set(ours()["web-1"]["environment"]) - {"SECRET_KEY", "ENCRYPTION_KEYS", "KEY_PEPPER"}
    (section,) = re.findall(r"# --- docker-compose.yml\..*?\n#POSTGRES", text, flags=re.DOTALL)
    assert set_by_compose <= set(re.findall(r"[A-Z_]{4,}", section))


def test_everything_of_ours_has_the_same_settings_and_as_few_rights_as_possible() -> None:
    for name, service in ours().items():
        assert service["environment"] == ours()["web-1"]["environment"], name
        assert "/data" in str(service.get("volumes", "")) + str(service["tmpfs"]), name
    for name in {*services()} - {"postgres"}:
        service = services()[name]
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_nothing_starts_before_the_database_is_migrated_and_everything_comes_back() -> None:
    for name, service in ours().items():
        if name == "migrate":
            assert service["restart"] == "no"
            assert service["depends_on"] == {"postgres": {"condition": "service_healthy"}}
            continue
        assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}, name
        assert service["restart"] == "unless-stopped", name
    for name in ("postgres", "redis", "nginx", *WEBS):
        assert services()[name]["healthcheck"]["test"][0] == "CMD", name


def test_each_web_host_has_a_folder_of_its_own_and_an_ingester_on_it() -> None:
    folders = {name: services()[name]["volumes"] for name in WEBS}
    ingesters = {name: service["volumes"] for name, service in ours().items() if "ingest" in service["command"]}

    assert folders["web-1"] != folders["web-2"]
    assert sorted(ingesters.values()) == sorted(folders.values())
    assert len({services()[name]["hostname"] for name in (*WEBS, *ingesters)}) == 4


def test_there_is_exactly_one_beat_one_migration_and_no_simulator() -> None:
    commands = [service["command"] for service in ours().values()]

    assert sum("beat" in command or "--beat" in command for command in commands) == 1
    assert sum("migrate" in command for command in commands) == 1
    assert all(service["environment"]["SIMULATOR"] == "false" for service in ours().values())
    assert not [command for command in commands if "providers.simulator" in command]


def test_redis_keeps_what_it_was_told_and_evicts_nothing() -> None:
    command = services()["redis"]["command"][-1]

    assert "--appendonly yes --appendfsync everysec" in command
    assert "--maxmemory-policy noeviction" in command
    # Without -e an error for an answer (it still loads, the password is wrong) counts as healthy.
    assert services()["redis"]["healthcheck"]["test"] == ["CMD", "redis-cli", "-e", "ping"]


def test_a_container_gets_longer_to_end_than_the_drain_takes(settings: object) -> None:
    from smartrouter.supervisor.web import stop_within_s

    assert seconds(services()["web-1"]["stop_grace_period"]) > stop_within_s() + 5
    assert seconds(services()["nginx"]["stop_grace_period"]) > stop_within_s()
    assert seconds(services()["ingester-1"]["stop_grace_period"]) > 15


def test_the_web_hosts_check_is_the_images_and_their_command_its_own() -> None:
    final = stages()[-1]

    for name in WEBS:
        assert services()[name]["healthcheck"]["test"] == ["CMD", *final.words("HEALTHCHECK")]
        assert services()[name]["command"] == final.words("CMD")


def test_nginx_finds_the_web_hosts_at_their_addresses_and_is_the_only_one_believed() -> None:
    nginx = services()["nginx"]
    address = nginx["networks"]["outside"]["ipv4_address"]
    conf = (ROOT / "smartrouter" / "delivery" / "nginx.conf").read_text()

    assert nginx["extra_hosts"] == [
        f"{name}:{services()[name]['networks']['outside']['ipv4_address']}" for name in WEBS
    ]
    assert re.findall(r"server (web-\d):(\d+)", conf) == [(name, "8000") for name in WEBS]
    assert {service["environment"]["TRUSTED_PROXIES"] for service in ours().values()} == {address}
    (mounted,) = nginx["volumes"]
    source, target, mode = mounted.split(":")
    assert (ROOT / source).read_text() == conf and target == nginx["command"][-1] and mode == "ro"
    assert nginx["ports"] == ["${PUBLISH:-127.0.0.1:8080}:8080"] and "listen 8080;" in conf


def test_the_addresses_are_as_the_variables_say() -> None:
    environment = resolved(ours()["web-1"]["environment"], SET)

    assert environment["DATABASE_URL"] == "postgres://smartrouter:p@postgres:5432/smartrouter"
    assert environment["REDIS_URL"] == "redis://:r@redis:6379/0"
    with pytest.raises(AssertionError, match="SECRET_KEY"):
        resolved(ours()["web-1"]["environment"], {})
