"""Hot path. The usage spool: what was opened, used and closed, in a file that outlives the process."""

from billing.spool.files import Chunk, lock_path, parse_spool_name, read_lines, spool_path, take_lock
from billing.spool.lines import CheckpointLine, CloseLine, Line, OpenLine, encode_record
from billing.spool.writer import Spool, SpoolError

__all__ = [
    "CheckpointLine",
    "Chunk",
    "CloseLine",
    "Line",
    "OpenLine",
    "Spool",
    "SpoolError",
    "encode_record",
    "lock_path",
    "parse_spool_name",
    "read_lines",
    "spool_path",
    "take_lock",
]
