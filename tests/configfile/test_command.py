"""manage.py config, as an operator meets it."""

import os
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from smartrouter.accounts.models import Tenant
from tests.configfile.documents import EVERYTHING, SECRETS, everything_stored, manage
from tests.stores import IS_SERVER, stores_of

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("config", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_apply_says_what_it_did_and_a_second_time_that_it_did_nothing(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text("tenants: [{name: t}]\nmodel_groups: [{name: g, channels: [{provider: x, model: m}]}]\n")

    out, err = run("apply", str(path))

    assert out == (
        "tenants:\n  added: tenant t\nmodel_groups:\n  added: model group g\n  added: group member g: x/m\n3 added.\n"
    )
    assert err.strip() == (
        f"warning: {path}:2: model_groups[0].channels[0]: There is no provider or channel “x” yet; the member waits for it."
    )
    assert run("apply", str(path))[0] == "No changes.\n"
    path.write_text("tenants: [{name: t, active: false}]\nmodel_groups: [{name: g, active: false, channels: []}]\n")
    assert run("apply", str(path)) == (
        "tenants:\n  switched off: tenant t\n"
        "model_groups:\n  switched off: model group g\n  removed: group member g: x/m\n2 switched off, 1 removed.\n",
        "",
    )


def test_a_dry_run_says_so(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text("tenants: [{name: t}]\n")

    out, _err = run("apply", "--dry-run", str(path))

    assert out == "tenants:\n  added: tenant t\n1 added.\nA dry run: nothing was written.\n"
    assert not Tenant.objects.exists()


def test_errors_go_to_stderr_together_with_exit_code_1(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text("tenants:\n- {name: t, kind: x}\n- {name: u, timezone: x}\n")
    data = tmp_path / "data"

    done = manage(data, "config", "apply", str(path), str(tmp_path / "none.yml"))
    alone = manage(data, "config", "apply", str(path))

    assert (done.returncode, done.stdout) == (1, "")
    assert f"{tmp_path}/none.yml: The file cannot be read: No such file or directory." in done.stderr
    assert (alone.returncode, alone.stdout) == (1, "")
    assert alone.stderr.splitlines() == [
        "CommandError: Nothing was changed: there are 2 problems.",
        f"{path}:2: tenants[0].kind: Use one of: organisation, team, person.",
        f"{path}:3: tenants[1].timezone: “x” is not a time zone; use a name such as UTC, Europe/Berlin or Asia/Shanghai.",
    ]


def test_a_database_without_tables_is_one_sentence(tmp_path: Path) -> None:
    stores_of(tmp_path, is_migrated=False)

    done = manage(tmp_path, "config", "export")

    reason = "ProgrammingError" if IS_SERVER else "OperationalError"
    assert done.returncode == 1 and done.stdout == ""
    assert "Traceback" not in done.stderr
    assert f"CommandError: The database cannot be used ({reason})." in done.stderr


def test_an_export_replaces_the_file_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text("tenants: [{name: t}]\n")
    run("apply", str(path))
    target = tmp_path / "out.yml"
    target.write_text("old " * 10_000)
    target.chmod(0o644)

    out, _err = run("export", str(target))

    assert out == f"Written to {target}, readable by you only.\n"
    assert target.read_text().endswith("tenants:\n  - name: t\n")
    assert target.read_text() == run("export")[0]
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(tmp_path)) == ["f.yml", "out.yml"]


@pytest.mark.parametrize("name", [".", "missing/out.yml"])
def test_an_export_that_cannot_be_written_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(CommandError, match="cannot be written"):
        run("export", str(tmp_path / name))

    assert list(tmp_path.iterdir()) == []


def test_neither_output_nor_logs_show_a_secret(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text(EVERYTHING)
    data = tmp_path / "data"

    applied = manage(data, "config", "apply", str(path))
    exported = manage(data, "config", "export")

    assert applied.returncode == exported.returncode == 0, applied.stderr
    shown = applied.stdout + applied.stderr + exported.stdout + exported.stderr
    files = [file.read_bytes() for file in data.rglob("*") if file.is_file()]
    stored = b"".join([*files, *stores_of(data).contents().values()])
    assert not [secret for secret in SECRETS if secret in shown]
    assert not [secret for secret in SECRETS if secret.encode() in stored]


def test_a_wrong_file_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text(EVERYTHING + "  - {names: 'a b', routing_strategy: auto}\n")
    before = everything_stored()

    with pytest.raises(CommandError, match="there is 1 problem"):
        run("apply", str(path))

    assert everything_stored() == before
