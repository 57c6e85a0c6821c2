"""Worker side. How far it is, in one line of a terminal; silence elsewhere."""

import time
from types import TracebackType

from django.core.management.base import OutputWrapper

SHOWN_EVERY_S = 0.2


class ProgressLine:
    """Called with a model, the rows so far and the rows in all, where they are known. Leaves no line behind."""

    def __init__(self, stream: OutputWrapper) -> None:
        self._stream = stream
        self._is_shown = stream.isatty()
        self._next = 0.0
        self._width = 0

    def __call__(self, model: str, done: int, total: int | None) -> None:
        if self._is_shown and time.monotonic() >= self._next:
            self._next = time.monotonic() + SHOWN_EVERY_S
            self._show(f"{model} {done:,}" + (f" / {total:,}" if total else ""))

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._width:
            self._show("")
            self._stream.write("\r", style_func=str, ending="")

    def _show(self, text: str) -> None:
        self._stream.write("\r" + text.ljust(self._width), style_func=str, ending="")
        self._stream.flush()
        self._width = len(text)
