"""Progress of long work on stderr: a bar on a terminal, a line every 30 seconds elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import TextIO

from tqdm import tqdm  # type: ignore[import-untyped]

#: Work that ends sooner shows no bar, in seconds.
DELAY = 2.0

#: Seconds between two updates of the bar, and between two lines.
REFRESH, INTERVAL = 0.5, 30.0

_BAR = "{desc}: {n} of {total} {unit} |{bar}| {elapsed}<{remaining}"

#: Errors of a stream that is closed, full, or whose reader has gone.
_STREAM_ERRORS = (OSError, ValueError)


def announce(text: str) -> None:
    """Print a line to stderr; a missing or broken stderr is ignored."""
    if sys.stderr is not None:
        with contextlib.suppress(*_STREAM_ERRORS):
            print(text, file=sys.stderr, flush=True)


class Progress:
    """Context manager that shows the progress and the elapsed time of the work in its block.

    A thread shows them, so that the time is updated during one long item too. When the block ends,
    also by an error or Ctrl-C, the bar is erased. Only the format is tqdm's: its bars share a
    registry and a lock with all other bars of the process.

    :param description: name of the work, at the start of the line.
    :param total: number of items, None for work that is not counted.
    :param unit: the items, in the plural.
    :param disable: show nothing.
    """

    def __init__(
        self, description: str, *, total: int | None = None, unit: str = "", disable: bool = False
    ) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.n = 0
        self._disable = disable or sys.stderr is None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._show, args=(sys.stderr,), daemon=True)

    def update(self, n: int = 1) -> None:
        """Count ``n`` more finished items; at the last one the bar is erased."""
        self.n += n
        if self.total is not None and self.n >= self.total:
            self._close()

    def __enter__(self) -> Progress:
        if not self._disable:
            try:
                self._thread.start()
            except BaseException:  # Ctrl-C while the thread starts
                self._is_over.set()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _show(self, stream: TextIO) -> None:
        with contextlib.suppress(*_STREAM_ERRORS, AttributeError):  # a stream with write() only
            if stream.isatty():
                self._show_bar(stream)
        with contextlib.suppress(*_STREAM_ERRORS):
            self._print_lines(stream)

    def _show_bar(self, stream: TextIO) -> None:
        start = time.monotonic()
        if self._is_over.wait(DELAY):
            return
        while True:
            width = _columns(stream)
            # room for the terminal's "^C", which would stay on the next line
            line = self._line(time.monotonic() - start, width - 4, stream)
            stream.write(f"\r{line.ljust(width - 1)}\r{line}")
            stream.flush()
            if self._is_over.wait(REFRESH):
                break
        stream.write(f"\r{' ' * (width - 1)}\r")
        stream.flush()

    def _line(self, seconds: float, width: int, stream: TextIO) -> str:
        if self.total is None:
            return f"{self.description}: {tqdm.format_interval(seconds)}"[:width]
        line: str = tqdm.format_meter(
            self.n,
            self.total,
            seconds,
            ncols=width,
            prefix=self.description,
            ascii="utf" not in (stream.encoding or "").lower(),
            unit=self.unit,
            bar_format=_BAR,
        )
        return line

    def _print_lines(self, stream: TextIO) -> None:
        start = time.monotonic()
        while not self._is_over.wait(INTERVAL):
            counts = "" if self.total is None else f"{self.n} of {self.total} {self.unit}, "
            line = f"{self.description}: {counts}{time.monotonic() - start:.0f} s"
            print(line, file=stream, flush=True)


def _columns(stream: TextIO) -> int:
    """Return the width of a terminal; 80 for one without a size, as under ``script``."""
    with contextlib.suppress(*_STREAM_ERRORS):
        return os.get_terminal_size(stream.fileno()).columns or 80
    return 80
