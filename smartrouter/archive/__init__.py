"""Worker side. The whole database as one portable file, and back: docs/backup.md describes it for operators.

The file is a ZIP of one JSON-lines member a model, and a manifest that says what they hold, which migrations the database
had, and which secrets the content needs. It knows no database engine: what was saved from SQLite restores into PostgreSQL.
"""

from smartrouter.archive.loading import load_archive
from smartrouter.archive.reading import Archive
from smartrouter.archive.refusal import ArchiveRefused
from smartrouter.archive.verification import Findings, verify
from smartrouter.archive.writing import Written, write_archive

__all__ = ["Archive", "ArchiveRefused", "Findings", "Written", "load_archive", "verify", "write_archive"]
