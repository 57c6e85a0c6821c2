"""The addresses under /v1 and /health: DRF views on a fast ASGI entry of their own (entry.py)."""
