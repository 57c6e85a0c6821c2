"""Worker side. The ingester: turns the lines of the usage spool into rows, exactly once."""

from billing.ingest.folder import backlog, is_ingester_running
from billing.ingest.ingester import Ingester, IngestStats

__all__ = ["IngestStats", "Ingester", "backlog", "is_ingester_running"]
