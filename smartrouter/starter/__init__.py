"""Worker side. What a new installation starts with: configuration, a demo tenant with a key, an administrator."""

from smartrouter.starter.first import FirstSteps, set_up

__all__ = ["FirstSteps", "set_up"]
