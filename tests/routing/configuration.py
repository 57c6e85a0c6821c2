"""The configuration that the tests of answers ask: channels for every feature, groups, tenants that may and may not."""

from typing import Any

from tests.stack import KEY, OTHER_KEY

TEAM_KEY = "rk_team_" + "t" * 40
LIMITED_KEY = "rk_limited_" + "l" * 40
REVOKED_KEY = "rk_revoked_" + "r" * 40
EXPIRED_KEY = "rk_expired_" + "e" * 40
IDLE_KEY = "rk_idle_" + "i" * 40
IDLE_CHILD_KEY = "rk_idlechild_" + "c" * 40
PRICE = {"input": 1, "output": 2, "cache_read": 0.5}


def channel(name: str, provider: str, models: list[Any], *, keys: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """A channel with one working key of its own, unless others are given."""
    chosen = [{"name": f"key-{at}", "key": key} for at, key in enumerate(keys or (f"sim-key-{name}-0001",), 1)]
    return {"name": name, "provider": provider, "keys": chosen, "models": models, **more}


def answers_document(proxy_address: str) -> dict[str, Any]:
    """The whole configuration."""
    return {
        "providers": [
            {"name": "sim-a", "kind": "local", "base_url": "ALPHA"},
            {"name": "sim-b", "kind": "local", "base_url": "BETA"},
            {"name": "sim-or", "kind": "aggregator", "adapter": "openrouter", "base_url": "ALPHA"},
        ],
        "models": [
            *(
                {"provider": "sim-a", "model": model, "price": PRICE}
                for model in ("sim-fast", "sim-vision", "sim-reasoner", "sim-fast!cost", "sim-fast!500",
                              "sim-fast!other-model", "sim-fast!no-usage")
            ),
            {"provider": "sim-a", "model": "sim-smart"},  # its price is not known
            {"provider": "sim-b", "model": "sim-fast", "price": PRICE},
            {"provider": "sim-b", "model": "sim-smart", "free": True},
            {"provider": "sim-or", "model": "sim-fast!cost", "price": PRICE},
        ],
        "channels": [
            channel("main", "sim-a", [
                {"name": "m", "model": "sim-fast", "aliases": ["m-alias", "vendor/m"]},
                {"name": "vision", "model": "sim-vision"}, {"name": "think", "model": "sim-reasoner"},
                {"name": "cost", "model": "sim-fast!cost"}, {"name": "unpriced", "model": "sim-smart"},
                {"name": "other-model", "model": "sim-fast!other-model"}, {"name": "no-usage", "model": "sim-fast!no-usage"},
                {"name": "half-free", "model": "sim-fast", "price": {"input": 0, "output": 4}},
            ]),
            channel("second", "sim-b", [{"name": "m", "model": "sim-fast"}, {"name": "free", "model": "sim-smart"}],
                    priority=2),
            channel("aggregated", "sim-or", [{"name": "or-cost", "model": "sim-fast!cost"}]),
            channel("keyed", "sim-a", [{"name": "keyed", "model": "sim-fast"}],
                    keys=("sim-invalid-000001", "sim-valid-00001")),
            channel("broke", "sim-a", [{"name": "broke", "model": "sim-fast"}],
                    keys=("sim-broke-000001", "sim-valid-00002")),
            channel("dead", "sim-a", [{"name": "dead", "model": "sim-fast"}], keys=("sim-invalid-000003",)),
            channel("tuned", "sim-a", [{"name": "tuned", "model": "sim-fast"}],
                    param_overrides={"temperature": 0.1, "seed": None, "top_k": 5},
                    extra_headers={"X-Team": "blue-1234", "HTTP-Referer": "https://smartrouter.example"}),
            channel("proxied", "sim-a", [{"name": "proxied", "model": "sim-fast"}], proxy_url=proxy_address),
            channel("failing", "sim-a", [{"name": "failing", "model": "sim-fast!500"}]),
            channel("private", "sim-b", [{"name": "private", "model": "sim-fast"}], owner="other"),
            channel("family", "sim-b", [{"name": "family", "model": "sim-fast"}], owner="acme"),
            channel("off", "sim-a", [{"name": "off", "model": "sim-fast"}], active=False),
        ],
        "model_groups": [
            {"name": "auto:ordered", "channels": [
                {"channel": "failing", "model": "failing", "priority": 1},
                {"channel": "second", "model": "m", "priority": 2},
                {"channel": "main", "model": "m", "priority": 3}]},
            {"name": "auto:even", "channels": [
                {"channel": "main", "model": "m", "weight": 3.0}, {"provider": "sim-b", "model": "free", "weight": 1.0},
                {"channel": "failing", "model": "failing", "weight": 0.0, "priority": 2}]},
            {"name": "auto:waiting", "channels": [{"provider": "not-there-yet", "model": "x"}]},
            {"name": "auto:private", "channels": [{"channel": "private", "model": "private"}]},
            {"name": "auto:off", "active": False, "channels": [{"channel": "main", "model": "m"}]},
        ],
        "tenants": [
            {"name": "acme", "can_see_channels": True, "router_keys": [
                {"name": "main", "key": KEY},
                {"name": "limited", "key": LIMITED_KEY, "models": ["m", "auto:*"]},
                {"name": "revoked", "key": REVOKED_KEY, "active": False},
                {"name": "expired", "key": EXPIRED_KEY, "expires_at": "2020-01-01"}]},
            {"name": "acme-team", "parent": "acme", "router_keys": [{"name": "team", "key": TEAM_KEY}]},
            {"name": "other", "router_keys": [{"name": "main", "key": OTHER_KEY}]},
            {"name": "idle", "active": False, "router_keys": [{"name": "idle", "key": IDLE_KEY}]},
            {"name": "idle-child", "parent": "idle", "router_keys": [{"name": "child", "key": IDLE_CHILD_KEY}]},
        ],
    }  # fmt: skip
