"""Judging in processes: one for each solution, several at a time, with time limits.

A solution runs in a process that it can end, block or flood without harm to the others. The process
is forked from a server that has imported PyTorch once, where the system can fork. It is not a
sandbox: the code runs with the permissions of the caller.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import types
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from sb3_atari_course.course.exercises import module_of
from sb3_atari_course.course.student_code import Cell
from sb3_atari_course.course.verdict import READING, Finding, Verdict

#: CPU seconds for one property; a right solution needs less than two.
PROPERTY_SECONDS = 8.0

#: Seconds until the process has imported what it needs, on a slow machine too.
_START_SECONDS = 120.0

#: Seconds without a sign of life after which a process is killed.
_SILENT_SECONDS = 10.0

#: What torch imports for the first optimizer: more than a second, spent once by the server.
_FOR_OPTIMIZERS = "torch._dynamo"


@dataclass(frozen=True)
class Job:
    """A solution to judge.

    :param exercise: its name.
    :param cells: the student's code.
    :param file: the file that the code comes from: a function defined twice in it is refused, and
        it may import modules of its folder. None: cells of a session, of which the last definition
        counts, and which import from the working folder.
    """

    exercise: str
    cells: Sequence[Cell]
    file: Path | None = None


@dataclass
class _Running:
    """A process that judges, and what it has reported so far."""

    job: Job
    process: Any
    reports: Connection
    deadline: float
    began: float = field(default_factory=time.monotonic)
    names: list[str] = field(default_factory=lambda: [READING])
    findings: list[Finding] = field(default_factory=list)
    is_done: bool = False

    def take(self, kind: str, *content: Any) -> Finding | None:
        """Take one report of the process; return it if it is a finding."""
        self.deadline = time.monotonic() + _SILENT_SECONDS
        if kind == "finding":
            self.findings.append(Finding(*content))
            self.is_done = not self.findings[-1].passed
            return self.findings[-1]
        if kind == "names":
            self.names = list(content)
        self.is_done = kind == "done"  # else it is a sign of life
        return None

    def fail(self, message: str) -> Finding:
        """Return a finding on the property that was looked at when the process ended."""
        name = self.names[min(len(self.findings), len(self.names) - 1)]
        self.findings.append(Finding(name, message))
        return self.findings[-1]

    def verdict(self) -> Verdict:
        """Return what was found."""
        seconds = time.monotonic() - self.began
        return Verdict(self.job.exercise, tuple(self.findings), len(self.names), seconds)


def judge_jobs(
    jobs: Sequence[Job], *, n_processes: int = 1, seconds: float = PROPERTY_SECONDS
) -> Generator[tuple[Job, Finding | Verdict], None, None]:
    """Judge solutions, some at a time; yield each finding as it is made, then the verdict.

    :param jobs: what to judge.
    :param n_processes: number of solutions that are judged at the same time.
    :param seconds: the CPU time for each property.
    """
    preload = [*{module_of(job.exercise): None for job in jobs}, _FOR_OPTIMIZERS]
    waiting, running = list(reversed(jobs)), list[_Running]()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        try:
            while waiting or running:
                while waiting and len(running) < n_processes:
                    folder = tempfile.mkdtemp(dir=scratch)
                    running.append(_start(waiting.pop(), folder, preload, seconds))
                _wait(running)
                for one in tuple(running):
                    for finding in _reported(one):
                        yield one.job, finding
                    if one.is_done:
                        running.remove(one)
                        _end(one)
                        yield one.job, one.verdict()
        finally:
            for one in running:
                _end(one)


def _wait(running: Sequence[_Running]) -> None:
    """Wait until a process reports or ends, or until the time of one is over."""
    seconds = min(one.deadline for one in running) - time.monotonic()
    sources = [source for one in running for source in (one.reports, one.process.sentinel)]
    wait(sources, timeout=max(0.0, seconds))


def _reported(one: _Running) -> Iterator[Finding]:
    """Return what a process has reported, and its end if that came too early."""
    has_ended = not one.process.is_alive()  # before the last look at its reports
    while not one.is_done and one.reports.poll():
        try:
            finding = one.take(*one.reports.recv())
        except (EOFError, OSError):  # nothing, or half a message
            one.process.join(_SILENT_SECONDS)
            has_ended = True
            break
        if finding is not None:
            yield finding
    if one.is_done:
        return
    if has_ended:
        one.is_done = True
        yield one.fail(
            f"the process that ran your code ended with status {one.process.exitcode}: it called"
            " os._exit, or crashed"
        )
    elif time.monotonic() > one.deadline:
        one.is_done = True
        yield one.fail(
            f"no sign of life for {_SILENT_SECONDS:g} seconds: one operation takes longer, such as"
            " one on a huge number, or the code stopped its process"
        )


def _start(job: Job, folder: str, preload: list[str], seconds: float) -> _Running:
    """Start a process that judges a solution.

    :param job: the solution.
    :param folder: in which it runs, empty.
    :param preload: modules for the server to import, if it is not there yet.
    :param seconds: the CPU time for each property.
    """
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload(preload)
    reports, send = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(send, job, folder, seconds), daemon=True)
    with _detached():
        process.start()
    send.close()
    return _Running(job, process, reports, time.monotonic() + _START_SECONDS)


@contextlib.contextmanager
def _detached() -> Iterator[None]:
    """Keep multiprocessing from running the caller's script again: a lesson has no main guard.

    Ctrl-C is for the caller alone, not for the server while it imports.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main_thread else None
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if in_main_thread:
            signal.signal(signal.SIGINT, handler)


def _end(one: _Running) -> None:
    """End a process and those that it has started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(one.process.pid, signal.SIGKILL)
    one.process.kill()
    one.process.join()
    one.process.close()
    one.reports.close()


def _run(send: Connection, job: Job, folder: str, seconds: float) -> None:
    """Judge a solution and send what is found; this runs in the new process.

    :param send: the names of what will be looked at, then each finding, then ``done``.
    :param job: the solution.
    :param folder: to run in.
    :param seconds: the CPU time for each property.
    """
    if hasattr(os, "setsid"):
        os.setsid()  # a group with all that the code starts
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(silence, descriptor)
    sys.path.insert(0, os.path.abspath(job.file.parent if job.file else Path()))
    os.chdir(folder)
    from sb3_atari_course.course.judge_worker import judge_and_report  # imports torch

    once = job.file is not None
    judge_and_report(send, job.exercise, job.cells, once=once, seconds=seconds)
