"""A later SmartRouter, as far as a database can tell: the app `providers` has one migration more."""

from smartrouter.settings import *  # noqa: F403

MIGRATION_MODULES = {"providers": "tests.archive.later_migrations"}
