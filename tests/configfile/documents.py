"""Documents that the tests apply, and what they count."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.apps import apps

from tests.stores import stores_of

ROOT = Path(__file__).resolve().parents[2]
OPENAI_KEY = "sk-openai-0123456789abcdefghij"
LITERAL_KEY = "sk-literal-abcdefghij0123456789"
CI_KEY = "rk_ci_0123456789abcdefghijklmnop"
LITERAL_ROUTER_KEY = "rk_literal_9876543210zyxwvutsrqp"
PREVIOUS_ROUTER_KEY = "rk_previous_13579bdfhjlnprtvxz"
PROXY = "http://bob:proxy-password-77@10.0.0.9:3128"
HEADER = "header-secret-5566778899"
ENVIRONMENT = {"OPENAI_API_KEY": OPENAI_KEY, "ACME_CI_KEY": CI_KEY}
SECRETS = (OPENAI_KEY, LITERAL_KEY, CI_KEY, LITERAL_ROUTER_KEY, PREVIOUS_ROUTER_KEY, "proxy-password-77", HEADER)

# The example of the design, without what a channel may send: that belongs to later versions.
EXAMPLE = """\
providers:
  - {name: openai, adapter: openai, base_url: "https://api.openai.com/v1", kind: official}
  - {name: local, adapter: openai, base_url: "http://127.0.0.1:11434/v1", kind: local}
models:                                   # optional: what discovery would find
  - {provider: openai, model: gpt-4o-mini, context_length: 128000, capabilities: [function_calling, vision],
     quality_score: 0.7, price: {currency: USD, input: 0.15, output: 0.60, cache_read: 0.075}}   # per million tokens
channels:
  - {name: openai-main, provider: openai, keys: ["env:OPENAI_API_KEY"], priority: 1, weight: 1.0,
     models: [gpt-4o-mini, {name: fast, model: gpt-4o-mini, price: {input: 0, output: 0}}],
     budgets: [{window: day, limit_usd: 20}]}
model_groups:
  - name: "auto:free"
    display_name: "Free models"
    description: "Everything that costs nothing"
    routing_strategy:                     # a list of layers, or the name of a preset
      - {field: effective_cost, order: asc, weight: 1.0}
      - {field: speed_score, order: desc, weight: 0.9}
      - {field: quota_remaining, order: desc, weight: 0.7}
    filters: {max_cost_per_1k: 0.0, min_context_length: 4000}
    channels:                             # members by provider or by channel name
      - {provider: groq, model: llama-3.1-8b-instant, priority: 1, weight: 1.5, daily_limit: 1000}
      - {provider: openrouter, model: "meta-llama/llama-3.1-8b-instruct:free", priority: 2, weight: 1.0, daily_limit: 1000}
tenants:
  - name: acme
    parent: null
    timezone: Asia/Shanghai
    budgets: [{window: month, limit_usd: 100, soft_limit_usd: 80}]
    router_keys:
      - {name: ci, key: "env:ACME_CI_KEY", models: ["auto:*", "openai/gpt-4o-mini"], rpm: 60, tpm: 100000,
         budgets: [{window: day, limit_usd: 5}]}
    users: [{username: acme-admin, role: admin}]
"""

# With what this version must refuse: where nothing would enforce it.
WITH_LATER_FIELDS = """\
providers:
  - {name: p, base_url: "https://p.example/v1", budgets: [{window: day, limit_usd: 5}]}
models:
  - {provider: p, model: m, tpm: 5, budgets: []}
channels:
  - {name: openai-main, provider: openai, keys: ["env:OPENAI_API_KEY"], priority: 1, weight: 1.0,
     daily_limit: 1000, rpm: 500, models: [{model: gpt-4o-mini, budgets: []}], max_parallel: 5}
model_groups:
  - {name: "auto:free", daily_limit: 1000, sticky: true, channels: [{provider: groq, model: m, rpm: 5, budgets: []}]}
tenants:
  - name: acme
    networks: [10.0.0.0/8]
    max_cost_per_request_usd: 5
    limit_usd: 5
    users: [{username: u, role: admin, tpm: 5}]
    end_users: [{user: "*", rpm: 5, budgets: []}]
    router_keys:
      - {name: ci, key: "env:ACME_CI_KEY", allowed_ips: [10.0.0.1], quota: 5, end_user_rpm: 5}
"""

# Every block, and every field with a value that is not its default.
EVERYTHING = f"""\
providers:
  - {{name: openai, display_name: OpenAI 公司, kind: reseller, adapter: openrouter, region: us-east,
     base_url: "https://api.openai.com/v1"}}
  - {{name: local, kind: local, base_url: "http://127.0.0.1:11434/v1", active: false}}
models:
  - provider: openai
    model: gpt-4o-mini
    display_name: "yes"
    context_length: 128000
    default_output_tokens: 16384
    capabilities: [vision, function_calling]
    tags: ["1e5", "10:00", "on", "~", "qwen"]
    quality_score: 0.7
    free: true
    active: false
    prices:
      - effective_from: 2026-01-01
        currency: CNY
        input: 0.150000001
        output: 100000.000000009
        cache_read: 0.075
        cache_write: 0
        cache_write_1h: 3
        reasoning: 0.6
        audio_input: 10
        audio_output: 20.5
        image_input: 0.000000001
        per_request: 0.01
        tiers: [{{min_prompt_tokens: 200000, input: 2.50}}]
        windows: [{{days: [0, 6], start: 01:00, end: 10:30, tz: Asia/Shanghai, output: 0.1}}]
        source: https://example.com/prices
      - {{effective_from: "2027-03-04T05:06:07.000089+02:00", input: 1, output: 2}}
  - {{provider: openai, model: gpt-plain, capabilities: []}}
exchange_rates:
  - {{currency: CNY, usd: 0.1400000001, effective_from: 2026-01-01T00:00:00Z}}
tenants:
  - {{name: leaf, parent: root, kind: team}}
  - name: root
    display_name: "Root: the first"
    timezone: Asia/Shanghai
    active: false
    can_see_channels: true
    can_see_budgets: true
    can_shorten_answers: true
    budget_status: 429
    rpm: 600
    tpm: 2147483647
    max_parallel: 20
    end_user_rpm: 6
    end_user_tpm: 7000
    budgets:
      - {{window: month, limit_usd: 100.000000001, soft_limit_usd: 80}}
      - {{window: total, soft_limit_tokens: 1000000}}
    end_users:
      - {{user: alice, budgets: [{{window: week, limit_tokens: 0}}]}}
      - {{user: "*", budgets: [{{window: day, limit_usd: 0.5}}, {{window: day, limit_requests: 100}}]}}
      - {{user: "10:00", budgets: []}}
    router_keys:
      - {{name: ci, key: "env:ACME_CI_KEY", models: ["auto:*"], denied_models: ["gpt-4*", "local/*"],
         default_model: "auto:all", can_choose_strategy: true, owner: nobody-yet, expires_at: 2030-01-01, active: false}}
      - name: literal
        key: {LITERAL_ROUTER_KEY}
        previous: {{key: {PREVIOUS_ROUTER_KEY}, until: 2030-06-01}}
        networks: [203.0.113.7, "2001:db8::/32"]
        rpm: 60
        tpm: 100000
        max_parallel: 4
        labels: {{team: research, "cost centre": "007"}}
        owner: ann
        budgets: [{{window: day, limit_usd: 5}}]
    users:
      - {{username: ann, role: admin, email: ann@example.com, first_name: Ann, last_name: 李,
         budgets: [{{window: month, limit_usd: 9000000000}}]}}
      - {{username: bob, role: viewer}}
channels:
  - name: main
    provider: openai
    owner: root
    base_url: http://127.0.0.1:9/v1
    keys: ["env:OPENAI_API_KEY", {LITERAL_KEY}, {{name: spare, key: "another-literal-key-1", active: false}}]
    models:
      - gpt-4o-mini
      - {{name: fast, model: gpt-new, aliases: [quick, "007"], active: false, price: {{input: 0, output: 0}}}}
    priority: 3
    weight: 0.25
    region: eu
    timezone: Europe/Berlin
    proxy_url: "{PROXY}"
    extra_headers: {{X-Team: "{HEADER}", X-Also: "env:OPENAI_API_KEY"}}
    param_overrides: {{temperature: 0.2, top_p: 1.0, seed: 7, stop: null, nested: {{b: [true, "x"], a: 1e-7}}}}
    timeouts: {{connect_s: 1.5, first_content_s: 2, idle_s: 3, total_s: 4}}
    budgets: [{{window: day, limit_usd: 20}}]
    active: false
  - {{name: plain, provider: local}}
model_groups:
  - name: auto:all
    display_name: All
    description: "Two lines,\\n  the second indented: # no comment"
    active: false
    routing_strategy:
      - {{field: effective_cost, order: desc, weight: 0.5}}
      - {{field: speed_score}}
      - {{field: local, weight: 0}}
    fallback: auto:some
    max_cost_per_request_usd: 0.05
    budgets: [{{window: week, soft_limit_requests: 500, limit_requests: 1000}}]
    channels:
      - {{channel: main, model: fast, priority: 2, weight: 0.5, daily_limit: 50, active: false}}
      - {{provider: openai, model: gpt-4o-mini}}
      - {{provider: not-here-yet, model: some-model}}
    time_policies:
      - {{days: [mon, 6, Tuesday], from: 08:00, to: 18:30:15, timezone: Asia/Shanghai, routing_strategy: local_first,
         members_of: auto:some, active: false}}
      - {{from: 22:00, to: 06:00, routing_strategy: [{{field: free, weight: 3}}]}}
      - {{members_of: auto:none}}
  - {{name: auto:none, channels: [], active: false}}
  - name: auto:some
    routing_strategy: cost_first
    tags: [qwen, 30b]
    filters: {{max_cost_per_1k: 0.000000001, min_context_length: 4000, capabilities: [vision, reasoning],
              provider_kinds: [local, reseller], regions: [eu, us-east]}}
  - {{name: auto:any, select: true}}
strategies:
  - {{names: "*", routing_strategy: balanced}}
  - {{names: "gpt-*", routing_strategy: [{{field: quality_score, weight: 2.5}}, {{field: response_time, order: asc}}]}}
"""

CONFIGURED = (
    "accounts.Tenant", "accounts.User", "accounts.Membership", "accounts.RouterKey",
    "providers.Provider", "providers.ProviderModel", "providers.ModelPrice", "providers.ExchangeRate",
    "channels.Channel", "channels.ChannelKey", "channels.Offering", "channels.OfferingPrice",
    "routing.ModelGroup", "routing.GroupMember", "routing.TimePolicy", "routing.StrategyRule", "routing.Change",
    "billing.BudgetScope", "billing.Budget",
)  # fmt: skip


def everything_stored() -> dict[str, list[dict[str, Any]]]:
    """Every row of every configured model, and the change log, as it lies in the database."""
    return {
        label: json.loads(json.dumps(list(apps.get_model(label).objects.order_by("pk").values()), default=repr))
        for label in CONFIGURED
    }


def manage(data: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """manage.py in a process and a migrated database of its own; the tests' secrets unless given others."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT, **stores_of(data).env, "LOG_LEVEL": "DEBUG", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
