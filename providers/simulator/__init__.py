"""Worker side. A small upstream server in the OpenAI dialect, with believable answers, faults on demand and a journal.

    python -m providers.simulator --host 127.0.0.1 --port 9101 --name alpha [--journal FILE]

It imports nothing of the rest of the house, so that what it says about a request is independent evidence. A model's
name decides what happens: `sim-fast` answers, `sim-fast!cut:after=5` is cut after five pieces of content. The table of
all modes is in `modes.py`, and `GET /__modes` returns it; `GET /__journal` returns what was served.
"""
