"""Worker side. Why an archive cannot be written, or not be restored."""


class ArchiveRefused(Exception):
    """A sentence that says what is in the way and what to do. No secret is in it, and nothing was changed."""
