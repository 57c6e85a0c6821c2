"""Worker side. The configuration as a file: docs/configuration.md has its blocks and fields."""

from smartrouter.configfile.apply import apply_document, apply_files
from smartrouter.configfile.export import export_document, write_private
from smartrouter.configfile.report import ConfigError, Report
from smartrouter.configfile.showing import report_lines

__all__ = [
    "ConfigError",
    "Report",
    "apply_document",
    "apply_files",
    "export_document",
    "report_lines",
    "write_private",
]
