"""config diff in a process of its own: exit codes, and what an operator sees."""

from pathlib import Path

from smartrouter.accounts.keys import digest_of
from tests.configfile.documents import (
    CI_KEY,
    EVERYTHING,
    LITERAL_KEY,
    LITERAL_ROUTER_KEY,
    OPENAI_KEY,
    SECRETS,
    manage,
)

NO_DATABASE = "postgres://nobody:nothing@127.0.0.1:1/none?connect_timeout=1"


def test_exit_codes_are_those_of_diff(tmp_path: Path) -> None:
    path, wrong = tmp_path / "f.yml", tmp_path / "wrong.yml"
    path.write_text("tenants: [{name: t}]\n")
    wrong.write_text("tenants: [{nam: t}]\n")
    data = tmp_path / "data"
    data.mkdir()

    def code(*arguments: object) -> int:
        return manage(data, "config", *map(str, arguments)).returncode

    assert code("diff", path) == 0
    assert code("diff", path, "--exit-code") == 1
    assert code("diff", wrong) == code("diff", wrong, "--exit-code") == code("diff", tmp_path / "none.yml") == 2
    assert code("diff") == code("diff", path, "--nonsense") == 2
    assert code("apply", wrong) == 1
    assert code("apply", path, "--dry-run") == 0
    assert code("diff", path, "--exit-code") == 1  # the dry run wrote nothing
    assert code("apply", path) == 0
    assert code("diff", path, "--exit-code") == 0


def test_a_database_that_is_not_there_is_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "f.yml"
    path.write_text("tenants: [{name: t}]\n")

    done = manage(tmp_path / "nowhere", "config", "diff", "--exit-code", str(path), DATABASE_URL=NO_DATABASE)

    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


def test_neither_diff_nor_refusals_nor_logs_show_a_secret(tmp_path: Path) -> None:
    first, second, wrong = tmp_path / "1.yml", tmp_path / "2.yml", tmp_path / "3.yml"
    first.write_text(EVERYTHING)
    renewed = {secret: f"n3w-{secret[:-3]}" for secret in (LITERAL_KEY, LITERAL_ROUTER_KEY)}
    text = EVERYTHING.replace("env:OPENAI_API_KEY", OPENAI_KEY).replace("proxy-password-77", "proxy-passw0rd-78")
    for old, new in renewed.items():
        text = text.replace(old, new)
    second.write_text(text)
    wrong.write_text(f"""\
channels:
  - {{name: a, provider: p, keys: {LITERAL_KEY}}}
  - {{name: b, provider: p, keys: [[{LITERAL_KEY}]]}}
  - {{name: c, provider: p, keys: [{{key:{LITERAL_KEY}}}]}}
  - {{name: d, provider: p, keys: [{{{LITERAL_KEY}: null}}], extra_headers: {{X-Team:{LITERAL_KEY}: x}}}}
  - {{name: e, provider: p, extra_headers: {LITERAL_KEY}, proxy_url: [{LITERAL_KEY}], timeouts: {LITERAL_KEY}}}
  - {{name: f, provider: p, proxy_url: "sealed:{LITERAL_KEY}", keys: ["digest:{LITERAL_KEY}", "env:{LITERAL_KEY}"]}}
tenants:
  - {{name: t, router_keys: [{{name: k, key: "digest:{LITERAL_ROUTER_KEY}"}}, {{name: l, key: {{{CI_KEY}: 1}}}}]}}
  - {{name: u, router_keys: {{{CI_KEY}: null}}}}
  - {{name: v, router_keys: [{{{CI_KEY}: null}}, {{name: w, key: 5, {LITERAL_ROUTER_KEY}: 5}}]}}
""")
    data = tmp_path / "data"
    data.mkdir()
    assert manage(data, "config", "apply", str(first)).returncode == 0

    changed = manage(data, "config", "diff", "--prune", "--exit-code", str(second))
    refused = manage(data, "config", "diff", str(wrong))

    assert (changed.returncode, refused.returncode) == (1, 2), changed.stderr + refused.stderr
    assert changed.stdout.count("key: (changed)") == 2 and "proxy_url: (changed)" in changed.stdout
    shown = changed.stdout + changed.stderr + refused.stdout + refused.stderr
    assert not [s for s in (*SECRETS, *renewed.values(), "proxy-passw0rd-78", digest_of(CI_KEY)) if s in shown]
    assert refused.stderr.count("3.yml:") >= 15
