"""Worker side. Why serving cannot start."""


class StartRefused(Exception):
    """One sentence that says what is in the way and what to do. No secret is in it."""
