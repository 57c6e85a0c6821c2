"""Every migration of `providers`, and one that only the tests know."""

from pathlib import Path

import providers.migrations

OWN = Path(__file__).parent
(REAL,) = map(Path, providers.migrations.__path__)
LATEST = max(path.stem for path in REAL.glob("[0-9]*.py"))
__path__ = [str(OWN), str(REAL)]
