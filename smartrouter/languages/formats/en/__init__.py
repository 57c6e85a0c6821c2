"""Worker side. The formats of English pages."""
