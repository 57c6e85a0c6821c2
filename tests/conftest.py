"""Fixtures for every test; secrets and the data folder are set in tests/environment.py."""
