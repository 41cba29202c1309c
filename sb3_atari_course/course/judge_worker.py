"""Work of the process that runs a student's code: report each finding, and end what never ends."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from sb3_atari_course.course.exercises import load_exercise
from sb3_atari_course.course.exercises.judging import judge, last_line, name_of
from sb3_atari_course.course.student_code import Cell
from sb3_atari_course.course.verdict import READING

#: Seconds between two signs of life.
_BEAT = 0.5

#: Code that has used less CPU time than this is waiting, not computing.
_IDLE_SECONDS = 0.5

#: Longest message of a finding, in characters.
_LONGEST = 2000

#: What a check refuses, by the name of Python's audit event.
_REFUSED = {
    "builtins.input": "a check has no keyboard for input()",
    "os.fork": "a check starts no processes",
    "os.posix_spawn": "a check starts no processes",
    "os.system": "a check starts no processes",
    "subprocess.Popen": "a check starts no processes",
}


class _Watchdog(threading.Thread):
    """Ends the process when one property takes too long, with a finding that has the line.

    The limit is one of CPU time, so that a busy machine makes little difference. Code that is
    waiting, not computing, has as much time by the clock; all other code three times as much.

    :param send: gets signs of life and findings.
    :param seconds: the limit.
    """

    def __init__(self, send: Connection, seconds: float) -> None:
        super().__init__(daemon=True)
        self._send, self._seconds, self._lock = send, seconds, threading.Lock()
        self._watched = threading.get_ident()
        self.begin(READING)

    def begin(self, property_: str) -> None:
        """Give a property its time."""
        self._property = property_
        self._cpu, self._clock = time.process_time(), time.monotonic()

    def report(self, *content: str) -> None:
        """Send something."""
        with self._lock:
            self._send.send(content)

    def run(self) -> None:
        """Look at the clocks until the process ends."""
        while True:
            time.sleep(_BEAT)
            cpu, clock = time.process_time() - self._cpu, time.monotonic() - self._clock
            waits = cpu < _IDLE_SECONDS and clock > self._seconds
            if cpu > self._seconds or waits or clock > 3 * self._seconds:
                frames = traceback.extract_stack(sys._current_frames()[self._watched])
                message = f"not finished after {clock:.0f} seconds{last_line(frames)}"
                self.report("finding", self._property, message)
                os._exit(1)
            self.report("alive")


def judge_and_report(
    send: Connection, name: str, cells: Sequence[Cell], *, once: bool, seconds: float
) -> None:
    """Judge a solution, and report each finding at once.

    :param send: gets the names of all that will be looked at, each finding, signs of life, and
        ``done``.
    :param name: of the exercise.
    :param cells: the student's code.
    :param once: see :meth:`.Exercise.read`.
    :param seconds: the time for each property.
    """
    exercise = load_exercise(name)
    torch.set_num_threads(1)
    sys.argv = ["judge"]  # for code that reads it
    folder = Path.cwd()
    watchdog = _Watchdog(send, seconds)
    watchdog.report("names", READING, *map(name_of, exercise.properties))
    watchdog.start()
    sys.addaudithook(_refuse)
    for finding in judge(exercise, cells, once=once, begin=watchdog.begin):
        watchdog.report("finding", finding.name, finding.message[:_LONGEST])
        folder.mkdir(exist_ok=True)  # the code may have deleted or left it
        os.chdir(folder)
    watchdog.report("done")


def _refuse(event: str, _: tuple[Any, ...]) -> None:
    """Refuse what would block or outlive a check.

    :raises PermissionError: which libraries that have a fallback handle.
    """
    if event in _REFUSED:
        raise PermissionError(_REFUSED[event])
