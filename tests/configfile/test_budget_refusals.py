"""Each kind of wrong budget, limit and key before: refused with its file, line and field, and nothing is written."""

from pathlib import Path

import pytest

from tests.configfile.applying import apply, assert_refused, refusal_of

pytestmark = pytest.mark.django_db

T = "tenants:\n- name: t\n"
B = T + "  budgets:\n  - window: day\n"
K1, K2, K3 = (f"rk_refused_{number}_0123456789abcdef" for number in (1, 2, 3))
K = T + f"  router_keys:\n  - name: k\n    key: {K1}\n"
USER = "  users:\n  - {username: u, role: admin, budgets: [{window: day, limit_usd: %d}]}\n"
FINE = "Write at most nine digits after the point: amounts are counted in nano-USD."

# A document, and the beginnings of all messages, in their order.
TABLE: list[tuple[str, list[str]]] = [
    # form
    (T + "  budgets: 5\n", ["3: tenants[0].budgets: Expected a list, found a whole number."]),
    (T + "  budgets: {window: day, limit_usd: 5}\n", ["3: tenants[0].budgets: Expected a list, found a mapping."]),
    (T + "  budgets: [5]\n", ["3: tenants[0].budgets[0]: Expected a mapping, found a whole number."]),
    (T + "  budgets: [{limit_usd: 5}]\n", ["3: tenants[0].budgets[0].window: “window” is missing."]),
    (B + "    limit_usd: a lot\n", ["5: tenants[0].budgets[0].limit_usd: Expected a number, found text."]),
    (B + "    limit_tokens: 1.5\n", ["5: tenants[0].budgets[0].limit_tokens: Expected a whole number, found a number."]),
    (B + "    limit: 5\n", ["5: tenants[0].budgets[0].limit: There is no such field; did you mean “limit_usd”?"]),
    (B + "    limit_usd: 5\n    soft_limit: 5\n",
     ["6: tenants[0].budgets[0].soft_limit: There is no such field; did you mean “soft_limit_usd”?"]),
    (T + "  budget: []\n", ["3: tenants[0].budget: There is no such field; did you mean “budgets”?"]),
    (T + "  end_users: [{user: x}]\n", ["3: tenants[0].end_users[0].budgets: “budgets” is missing."]),
    (T + "  end_users: [{budgets: []}]\n", ["3: tenants[0].end_users[0].user: “user” is missing."]),
    # meaning
    (B, ["4: tenants[0].budgets[0]: Give a limit or a soft limit: limit_usd, "]),
    (B + "    limit_usd: null\n", ["4: tenants[0].budgets[0]: Give a limit or a soft limit: limit_usd, "]),
    (B + "    limit_usd: 5\n    soft_limit_tokens: 5\n",
     ["4: tenants[0].budgets[0]: A budget has one unit; write one entry for usd and one for tokens."]),
    (T + "  budgets:\n  - window: year\n    limit_usd: 5\n",
     ["4: tenants[0].budgets[0].window: Use one of: day, week, month, total."]),
    (B + "    limit_usd: 0.0000000001\n", [f"5: tenants[0].budgets[0].limit_usd: {FINE}"]),
    (B + "    limit_usd: 1e-99999999\n", [f"5: tenants[0].budgets[0].limit_usd: {FINE}"]),
    (B + "    limit_usd: 0.10000000000000000000000000000000000000000000000000001\n",
     [f"5: tenants[0].budgets[0].limit_usd: {FINE}"]),
    (B + "    limit_usd: 9000000000.1\n", ["5: tenants[0].budgets[0].limit_usd: This number is too large."]),
    (B + "    limit_usd: 1e99999999\n", ["5: tenants[0].budgets[0].limit_usd: This number is too large."]),
    (B + "    limit_usd: 'NaN'\n", ["5: tenants[0].budgets[0].limit_usd: This is not a number."]),
    (B + "    limit_usd: -1\n    soft_limit_usd: -0.0000000002\n",
     ["5: tenants[0].budgets[0].limit_usd: Ensure", f"6: tenants[0].budgets[0].soft_limit_usd: {FINE}"]),
    (B + "    limit_requests: -1\n", ["5: tenants[0].budgets[0].limit_requests: Ensure"]),
    (B + f"    limit_tokens: {2**63}\n", ["5: tenants[0].budgets[0].limit_tokens: Ensure"]),
    (B + "    limit_usd: 5\n    soft_limit_usd: 6\n",
     ["6: tenants[0].budgets[0].soft_limit_usd: A soft limit lies below the limit."]),
    (B + "    limit_usd: 5\n  - {window: day, limit_tokens: 5}\n  - {window: day, soft_limit_usd: 3}\n",
     ["7: tenants[0].budgets[2]: “day/usd” is there twice; first at f.yml:4: tenants[0].budgets[0]."]),
    (T + "  end_users:\n  - {user: '', budgets: []}\n  - {user: a, budgets: []}\n",
     ["4: tenants[0].end_users[0].user: Write what requests have in their field “user” (at most 256 characters)"]),
    (T + f"  end_users: [{{user: {'x' * 257}, budgets: []}}]\n", ["3: tenants[0].end_users[0].user: Write what"]),
    (T + "  end_users:\n  - {user: a, budgets: []}\n  - {user: a, budgets: []}\n",
     ["5: tenants[0].end_users[1]: “a” is there twice; first at f.yml:4: tenants[0].end_users[0]."]),
    (T + USER % 1 + "- name: s\n" + USER % 2,
     ["7: tenants[1].users[0].budgets: Another tenant's entry says something else of this user."]),
    # several of one entry, and of several owners
    (B + "    limit_usd: -1\n  rpm: 5\n  users: [{username: u, role: admin, budgets: [{window: x, limit_usd: 1}]}]\n"
     "channels:\n- {name: c, provider: nobody, budgets: [{window: day}]}\n",
     ["5: tenants[0].budgets[0].limit_usd: Ensure", "7: tenants[0].users[0].budgets[0].window: Use one of: day",
      "9: channels[0].provider: There is no “nobody”"]),
    # limits
    (T + "  rpm: 0\n  tpm: -1\n  max_parallel: 2147483648\n  budget_status: 403\n  end_user_rpm: 0\n  end_user_tpm: 0\n",
     ["3: tenants[0].rpm: Ensure", "4: tenants[0].tpm: Ensure", "5: tenants[0].max_parallel: Ensure",
      "6: tenants[0].budget_status: Use one of: 402, 429.", "7: tenants[0].end_user_rpm: Ensure",
      "8: tenants[0].end_user_tpm: Ensure"]),
    (K + "    rpm: 0\n    networks: [10.0.0.1/8]\n    labels: {team: ''}\n",
     ["6: tenants[0].router_keys[0].rpm: Ensure",
      "7: tenants[0].router_keys[0].networks: “10.0.0.1/8” is not an address or a network"]),
    (K + "    networks: 10.0.0.0/8\n", ["6: tenants[0].router_keys[0].networks: Expected a list, found text."]),
    (K + "    labels:\n      team: 5\n", ["7: tenants[0].router_keys[0].labels.team: Expected text, found a whole number."]),
    (K + f"    labels: {{{'x' * 61}: y}}\n", ["6: tenants[0].router_keys[0].labels: “xxx"]),
    # the key before
    (K + f"    previous: {K2}\n", ["6: tenants[0].router_keys[0].previous: Expected a mapping, found text."]),
    (K + f"    previous: {{key: {K2}}}\n", ["6: tenants[0].router_keys[0].previous.until: “until” is missing."]),
    (K + f"    previous:\n      key: {K1}\n      until: 2030-01-01\n",
     ["7: tenants[0].router_keys[0].previous.key: This is the key itself; “previous” has the one that it replaced."]),
    (K + "    previous:\n      key: env:NOT_THERE\n      until: 2030-01-01\n",
     ["7: tenants[0].router_keys[0].previous.key: The environment variable NOT_THERE is not set."]),
    (K + "    previous:\n      key: short\n      until: soon\n",
     ["8: tenants[0].router_keys[0].previous.until: Write a date or time"]),
    (K + f"  - {{name: l, key: {K2}, previous: {{key: {K1}, until: 2030-01-01}}}}\n",
     ["6: tenants[0].router_keys[1].previous.key: This key is there twice; first at f.yml:4: tenants[0].router_keys[0]."]),
    (K + f"    previous: {{key: {K2}, until: 2030-01-01}}\n  - {{name: l, key: {K2}}}\n",
     ["7: tenants[0].router_keys[1].key: This key is there twice; first at f.yml:4: tenants[0].router_keys[0]."]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), TABLE, ids=[str(number) for number in range(len(TABLE))])
def test_each_problem_names_its_line_and_field(text: str, expected: list[str], tmp_path: Path) -> None:
    assert_refused(text, expected, tmp_path)


def test_no_key_can_take_what_another_one_was_until_lately(tmp_path: Path) -> None:
    apply(K + f"    previous: {{key: {K2}, until: 2030-01-01}}\n")

    assert refusal_of(f"tenants: [{{name: s, router_keys: [{{name: l, key: {K2}}}]}}]", tmp_path) == [
        "f.yml:1: tenants[0].router_keys[0].key: This key is there already, as the router key “t/k”."
    ]


def test_no_refusal_of_a_key_before_shows_it(tmp_path: Path) -> None:
    secret = "ssecret-0123456789 with a space"
    for written in (f"key: {secret}", f"key: 'digest:{secret}'", f"key: 'env:{secret}'", f"key: [{secret}]"):
        text = K + f"    previous: {{{written}, until: 2030-01-01}}\n"
        assert "ssecret" not in "\n".join(refusal_of(text, tmp_path)), text
