"""Worker side. What the RoutingTable was made of, in one sealed file of the data folder.

A web process keeps the file true while the database answers (keeper.py); one that starts while it does not serves from it
(file.py). Nothing plain is in it, and a file that is not exactly what was written for this database is refused.

Only for a database server. An SQLite database lies in the data folder itself: what takes the one away takes the other, a
file that is missing is a new installation, which an old snapshot must not bring back to life, and one that is locked is
waited for.
"""

from routing.snapshot.file import (
    Snapshot,
    SnapshotRefused,
    age_text,
    read_snapshot,
    snapshot_age_s,
    write_snapshot,
)
from routing.snapshot.keeper import SnapshotKeeper, is_wanted

__all__ = [
    "Snapshot",
    "SnapshotKeeper",
    "SnapshotRefused",
    "age_text",
    "is_wanted",
    "read_snapshot",
    "snapshot_age_s",
    "write_snapshot",
]
