"""What every test stands on: fixed secrets and a data folder of its own.

A plugin (see addopts in pyproject.toml) and not a conftest.py: pytest-django reads the settings before any of those.
"""

import os
import tempfile

os.environ.update(
    SECRET_KEY="test-secret-key-" + "0123456789" * 5,
    ENCRYPTION_KEYS="test-encryption-key-0123456789",
    KEY_PEPPER="test-pepper-0123456789",
    SMARTROUTER_DATA=tempfile.mkdtemp(prefix="smartrouter-test-"),
    UPSTREAM_PRIVATE_NETWORKS="127.0.0.0/8,::1",
)
os.mkdir(os.path.join(os.environ["SMARTROUTER_DATA"], "static"))  # WhiteNoise warns where there is none
for name in ("DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY", "OPENROUTER_API_KEY"):
    os.environ.pop(name, None)
