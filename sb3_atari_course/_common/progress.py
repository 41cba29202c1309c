"""Progress of long work on stderr: a bar on a terminal, a line every 30 seconds elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TextIO

from tqdm import tqdm  # type: ignore[import-untyped]

#: Work that ends sooner shows no bar, in seconds.
DELAY = 2.0

#: Seconds between two updates of the bar, and between two lines.
REFRESH, INTERVAL = 0.5, 30.0


class _Bar(tqdm):  # type: ignore[misc]  # without stubs it is Any
    monitor_interval = 0  # tqdm's own thread, which would redraw a bar that stands still


class Progress:
    """Context manager that shows how far the work in its block has come, and for how long it runs.

    A thread shows it, so that the time goes up during one long item too. When the block ends, by
    an error or Ctrl-C too, the bar is erased.

    :param description: name of the work, with which the line begins.
    :param total: number of items, None for work that is not counted.
    :param unit: the items, in the plural.
    :param disable: show nothing.
    """

    def __init__(
        self, description: str, *, total: int | None = None, unit: str = "", disable: bool = False
    ) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.n = 0
        self._disable = disable
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._show, args=(sys.stderr,), daemon=True)

    def update(self, n: int = 1) -> None:
        """Count ``n`` more finished items; at the last one the bar is erased."""
        self.n += n
        if self.n == self.total:
            self._close()

    def __enter__(self) -> Progress:
        if not self._disable:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _show(self, stream: TextIO) -> None:
        with contextlib.suppress(OSError, ValueError):  # stderr was closed
            if stream.isatty():
                self._show_bar(stream)
            else:
                self._print_lines(stream)

    def _show_bar(self, stream: TextIO) -> None:
        begun = time.time()
        if self._is_over.wait(DELAY):
            return
        # a bar of fixed width: "^C" behind it would else go to the next line, and stay
        counts = "{desc}: {n} of {total} {unit} |{bar:20}| {elapsed}<{remaining}"
        with _Bar(
            desc=self.description,
            total=self.total,
            unit=self.unit,
            bar_format="{desc}: {elapsed}" if self.total is None else counts,
            file=stream,
            leave=False,
            delay=DELAY,
        ) as bar:
            bar.start_t, bar.nrows = begun, 2
            if bar.ncols and bar.ncols < 0:  # a terminal without a size, as under `script`
                bar.ncols = None
            while True:
                bar.n = self.n
                bar.refresh()
                if self._is_over.wait(REFRESH):
                    break
        if sys.platform != "win32":
            stream.write("\r\x1b[K")  # erases what tqdm leaves: the "^C" behind the bar
            stream.flush()

    def _print_lines(self, stream: TextIO) -> None:
        begun = time.time()
        while not self._is_over.wait(INTERVAL):
            counts = "" if self.total is None else f"{self.n} of {self.total} {self.unit}, "
            line = f"{self.description}: {counts}{time.time() - begun:.0f} s"
            print(line, file=stream, flush=True)
