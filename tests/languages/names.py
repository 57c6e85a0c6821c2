"""What may stand in Latin letters on a Chinese page: names and codes, each for a reason."""

import re

# The fixture's own rows: names that an operator gave, or a vendor.
ROWS = (
    "openai-main", "openai", "siliconflow", "gpt-4o-mini", "Qwen/Qwen2.5-7B-Instruct", "auto:fast", "auto:*", "acme",
    "mini", "ivy@acme.example", "ivy", "root@example.com", "root", "ci", "default", "chat.completions", "X-Team",
)  # fmt: skip
# Ours and others': products, vendors, technical terms that have no other name in Chinese.
PRODUCTS = (
    "SmartRouter", "OpenAI", "OpenRouter", "DeepSeek", "Django", "PostgreSQL", "Redis", "SQLite", "Celery", "Bearer",
    "Authorization", "API", "URL", "JSON", "YAML", "HTTP", "HTTPS", "UTC", "USD", "CNY", "ID", "SSE", "IANA", "UUIDv7",
    "UUID", "Token", "token", "tokens", "KiB", "MiB",
)  # fmt: skip
PATTERNS = (
    r"[a-z]+://[^\s“”，。；、)]+",  # addresses
    r"[\w.+-]+@[\w-]+\.[\w.]+",  # e-mail addresses
    r"(?:[A-Z]+_)+[A-Z]+",  # variables of the environment
    r"[\w-]+(?:\.[\w-]+)+(?::\d+)?",  # hosts and files
    "Name: value",  # what a header looks like
    r"[\w.-]+/[\w./:-]+",  # Asia/Shanghai, openai/gpt-4o-mini, /v1/models
    r"\b[a-z]+(?:_[a-z0-9]+)+\b",  # field names and codes: max_tokens, auth_failed
    r"\b(?:auto|tag|env|sealed|digest|rk|sk)[:_][\w*.,:-]*",  # how names and secrets begin
    r"[{\[][^{}\[\]]*[:\"][^{}\[\]]*[}\]]",  # JSON examples
    r"[0-9a-f]{8}-[0-9a-f-]{27}",  # ids
    r"\bmanage\.py \w+(?: \w+)?|\bmake \w+",  # commands
    *(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])" for name in sorted((*ROWS, *PRODUCTS), key=len, reverse=True)),
)
