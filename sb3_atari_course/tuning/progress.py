"""The line that tells how a study is getting on."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

from sb3_atari_course.tuning.study import Standing

#: Seconds between two lines where nobody can be watching (a file, a pipe).
_SELDOM = 10.0


class Progress:
    """Shows a line that changes in a terminal, and now and then a new line elsewhere."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._is_terminal = self._stream.isatty()
        self._shown = ""
        self._told: set[int] = set()  # trials whose error was shown
        self._next_line = 0.0

    def know(self, standing: Standing) -> None:
        """Remember the errors of another time, which are not told again."""
        self._told.update(number for number, _ in standing.errors)

    def show(self, standing: Standing, n_workers: int) -> None:
        """Show how things stand; errors that are new get a line of their own."""
        for number, error in standing.errors:
            if number not in self._told:
                self._told.add(number)
                self.tell(f"trial {number} failed: {error}")
        line = progress_line(standing, n_workers)
        if self._is_terminal:
            line = line[: shutil.get_terminal_size().columns - 1]
            self._stream.write(f"\r{line:<{len(self._shown)}}")
        elif line != self._shown and (standing.is_done or time.monotonic() >= self._next_line):
            self._stream.write(f"{line}\n")
            self._next_line = time.monotonic() + _SELDOM
        else:
            return
        self._shown = line
        self._stream.flush()

    def tell(self, message: str) -> None:
        """Print something else on a line of its own."""
        if self._is_terminal and self._shown:
            self._stream.write(f"\r{'':<{len(self._shown)}}\r")
        self._stream.write(f"{message}\n")
        self._stream.flush()

    def end(self) -> None:
        """Leave the last line where it is."""
        if self._is_terminal and self._shown:
            self._stream.write("\n")


def progress_line(standing: Standing, n_workers: int) -> str:
    """Return e.g. ``finished 12 of 40, running 2, pruned 3, failed 0, best 487.3 (trial 7), ...``.

    :param n_workers: that are at work, for the time left.
    """
    parts = [
        f"finished {standing.finished} of {standing.budget}",
        f"running {standing.running}",
        f"pruned {standing.pruned}",
        f"failed {len(standing.errors)}",
    ]
    if standing.n_died:
        parts.append(f"killed {standing.n_died}")
    if standing.best is not None:
        parts.append(f"best {standing.best.values[0]:.4g} (trial {standing.best.number})")
    seconds = seconds_left(standing, n_workers)
    if seconds is not None:
        parts.append(f"about {duration(seconds)} left")
    return ", ".join(parts)


def seconds_left(standing: Standing, n_workers: int) -> float | None:
    """Return the seconds until the budget is spent, None if nobody can tell yet.

    What runs is taken for half done.
    """
    if standing.mean_seconds is None or standing.is_done:
        return None
    n_left = max(standing.budget - standing.finished - standing.running / 2, 0.5)
    return n_left * standing.mean_seconds / max(standing.running, n_workers, 1)


def duration(seconds: float) -> str:
    """Return seconds as a person says them.

    >>> duration(42), duration(150), duration(7500)
    ('42 s', '2 min', '2 h 05 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"
