"""Worker side. The formats of Chinese pages."""
