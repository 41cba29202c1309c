"""Runs of a suite on a Ray cluster: restarts after a death, progress, interruption."""

from __future__ import annotations

import contextlib
import csv
import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from tqdm import tqdm  # type: ignore[import-untyped]

from sb3_atari_course.checkpoints.folder import FOLDER, CheckpointFolder
from sb3_atari_course.cluster import Cluster, Task
from sb3_atari_course.suite.run_job import RunJob

WAITING, RUNNING, EVALUATING = "waiting", "running", "evaluating"
FINISHED, FAILED, STOPPED = "finished", "failed", "stopped"

#: A run fails after this many deaths of its process without a new checkpoint.
MAX_DEATHS = 5

#: Seconds between two looks at the tasks, two of a table, two summary lines.
_POLL_INTERVAL, _TABLE_INTERVAL, _LINE_INTERVAL = 0.3, 2.0, 60.0

#: Seconds that interrupted runs have for their last checkpoint.
_STOP_TIMEOUT = 60.0


@dataclass
class RunProgress:
    """Progress of one run.

    :param job: the run.
    :param state: ``"waiting"``, ``"running"``, ``"evaluating"``, ``"finished"``, ``"failed"`` or
        ``"stopped"``.
    :param steps: agent steps so far.
    :param steps_per_second: of the process that trains it; 0 if unknown.
    :param score: mean score of the last 100 training episodes; None if unknown.
    :param error: why it failed.
    """

    job: RunJob
    state: str = WAITING
    steps: int = 0
    steps_per_second: float = 0.0
    score: float | None = None
    error: str = ""

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds of training left; None if unknown."""
        if self.state != RUNNING or not self.steps_per_second:
            return None
        return max(self.job.settings.n_timesteps - self.steps, 0) / self.steps_per_second

    def update(self) -> None:
        """Read the progress from the files of the run, which may be on another node."""
        folder, settings = self.job.folder, self.job.settings
        run = folder.run(settings)
        if self.state in (WAITING, RUNNING, EVALUATING):
            is_active = folder.process(settings).is_file()
            is_over = is_active and folder.is_trained(settings)
            self.state = EVALUATING if is_over else RUNNING if is_active else WAITING
        row = _last_row(run / "progress.csv")
        steps, rate = row.get("time/total_timesteps"), row.get("time/fps")
        self.score = row.get("rollout/ep_rew_mean", self.score)
        if steps is not None:
            self.steps, self.steps_per_second = int(steps), rate or 0.0
        if self.state in (EVALUATING, FINISHED):
            self.steps = max(self.steps, settings.n_timesteps)

    def checkpoint_step(self) -> int:
        """Return the agent steps of the newest checkpoint, 0 without one."""
        run = self.job.folder.run(self.job.settings)
        checkpoint = CheckpointFolder(run / FOLDER).peek()
        return 0 if checkpoint is None else checkpoint.step


class SuiteRunner:
    """Starts all runs of a suite, and restarts those whose process or node dies.

    :param cluster: where they run.
    :param jobs: the runs.
    :param cpus: CPUs reserved for each.
    :param gpus: GPUs reserved for each.
    """

    def __init__(
        self, cluster: Cluster, jobs: Sequence[RunJob], *, cpus: float, gpus: float
    ) -> None:
        self._cluster = cluster
        self._request = {"cpus": cpus, "gpus": gpus}
        self._n_slots = max(cluster.n_slots(**self._request), 1)
        self.runs = [RunProgress(job) for job in jobs]
        self._tasks: dict[int, Task] = {}  # by index in runs
        self._deaths: dict[int, tuple[int, int]] = {}  # checkpoint step -> deaths since

    def run(self) -> None:
        """Run until all are finished or have failed; on Ctrl-C stop them with a checkpoint.

        :raises KeyboardInterrupt: after Ctrl-C.
        """
        for i, run in enumerate(self.runs):
            if run.job.folder.is_finished(run.job.settings, run.job.suite):
                run.state = FINISHED
                run.update()
            else:
                self._start(i)
        with _display(self) as show:
            try:
                while self._tasks:
                    time.sleep(_POLL_INTERVAL)
                    self._look()
                    show()
            except BaseException:
                self._stop()
                raise

    def _start(self, i: int) -> None:
        job = self.runs[i].job
        job.folder.process(job.settings).unlink(missing_ok=True)  # left by a kill
        self.runs[i].state = WAITING
        self._tasks[i] = self._cluster.start(_execute, job, **self._request)

    def _look(self) -> None:
        """Look for tasks that have ended."""
        for i, task in list(self._tasks.items()):
            ended = task.poll()
            if ended is None:
                continue
            del self._tasks[i]
            run = self.runs[i]
            if ended.death is not None:
                self._restart(i, ended.death)
            elif ended.error is not None:
                run.state, run.error = FAILED, f"{type(ended.error).__name__}: {ended.error}"
                log = run.job.folder.log(run.job.settings)
                print(f"{run.job.settings} failed: {run.error} ({log})", flush=True)
            elif ended.value:
                run.state = FINISHED
                self.update()
                print(f"{run.job.settings} finished; {self.summary()}", flush=True)
            else:
                self._restart(i, "stopped by a signal")

    def _restart(self, i: int, death: str) -> None:
        """Resume a run whose process ended, unless it does repeatedly at the same checkpoint."""
        run = self.runs[i]
        step = run.checkpoint_step()
        last, n = self._deaths.get(i, (step, 0))
        n = n + 1 if step == last else 1
        self._deaths[i] = step, n
        if n >= MAX_DEATHS:
            run.state = FAILED
            run.error = f"its process ended {n} times after step {step:,}, the last time {death}"
            print(f"{run.job.settings} failed: {run.error}", flush=True)
            return
        where = f"resuming at step {step:,}" if step else "starting again"
        print(f"{run.job.settings}: process {death}, {where}", flush=True)
        self._start(i)

    def _stop(self) -> None:
        """Interrupt all runs, and wait for their last checkpoints."""
        if not self._tasks:
            return
        for task in self._tasks.values():
            task.interrupt()
        with contextlib.suppress(OSError):  # stdout is a closed pipe
            print("stopping all runs with a checkpoint ...", flush=True)
        deadline = time.monotonic() + _STOP_TIMEOUT
        while self._tasks and time.monotonic() < deadline:
            time.sleep(_POLL_INTERVAL)
            for i, task in list(self._tasks.items()):
                if task.poll() is not None:
                    del self._tasks[i]
        for run in self.runs:
            if run.state in (WAITING, RUNNING, EVALUATING):
                run.state = STOPPED

    def update(self) -> None:
        """Read the progress of all runs."""
        for run in self.runs:
            run.update()

    def summary(self) -> str:
        """Return e.g. ``2 of 6 finished, 2 running, 2 waiting, 0 failed, about 01:10:00 left``."""
        n = {state: sum(run.state == state for run in self.runs) for state in _STATES}
        parts = [
            f"{n[FINISHED]} of {len(self.runs)} finished",
            f"{n[RUNNING] + n[EVALUATING]} running",
            f"{n[WAITING]} waiting",
        ]
        parts += [f"{n[state]} {state}" for state in (STOPPED, FAILED) if n[state]]
        seconds = self._seconds_left()
        if seconds:
            parts.append(f"about {tqdm.format_interval(seconds)} left")
        return ", ".join(parts)

    def _seconds_left(self) -> float | None:
        """Estimate the time left from the steps left and the rates of the running runs."""
        left = 0.0
        rates = {run.job.settings.key[:2]: run.steps_per_second for run in self.runs if run.steps}
        for run in self.runs:
            if run.state not in (WAITING, RUNNING):
                continue
            rate = run.steps_per_second or rates.get(run.job.settings.key[:2], 0.0)
            if not rate:
                return None
            left += (run.job.settings.n_timesteps - run.steps) / rate
        return left / self._n_slots

    def table(self, height: int) -> Table:
        """Return the progress: a line per run, only those in progress if there is no room."""
        table = Table(box=None, pad_edge=False)
        for name in ("run", "state"):
            table.add_column(name, no_wrap=True)
        for name in ("steps", "steps/s", "mean score", "left"):
            table.add_column(name, justify="right", no_wrap=True)
        shown = self.runs
        if len(shown) > height - 3:
            shown = [run for run in shown if run.state in (RUNNING, EVALUATING, FAILED)]
        for run in shown[: max(height - 3, 1)]:
            seconds = run.seconds_left
            table.add_row(
                str(run.job.settings),
                run.state,
                f"{run.steps:,} of {run.job.settings.n_timesteps:,}",
                f"{run.steps_per_second:.0f}" if run.state == RUNNING else "",
                "" if run.score is None else f"{run.score:.4g}",
                "" if seconds is None else tqdm.format_interval(seconds),
            )
        table.caption = self.summary()
        table.caption_justify = "left"
        return table


_STATES = (WAITING, RUNNING, EVALUATING, FINISHED, FAILED, STOPPED)


def _execute(job: RunJob) -> bool:
    return job()


@contextlib.contextmanager
def _display(runner: SuiteRunner) -> Iterator[Callable[[], None]]:
    """Yield a function that shows the progress: a table on a terminal, lines elsewhere."""
    console = Console()
    is_terminal = console.is_terminal and sys.stdout is not None
    next_time = 0.0

    def update() -> bool:
        nonlocal next_time
        if time.monotonic() < next_time:
            return False
        next_time = time.monotonic() + (_TABLE_INTERVAL if is_terminal else _LINE_INTERVAL)
        runner.update()
        return True

    if not is_terminal:

        def show_line() -> None:
            if update():
                print(runner.summary(), flush=True)

        yield show_line
        return
    with Live(console=console, auto_refresh=False) as live:

        def show_table() -> None:
            if update():
                live.update(runner.table(console.height), refresh=True)

        yield show_table
        update()
        live.update(runner.table(console.height), refresh=True)


def _last_row(path: Path) -> dict[str, float]:
    """Return the numbers in the last whole line of a CSV file; empty if there is none."""
    try:
        with open(path, "rb") as file:
            header = file.readline()
            file.seek(max(len(header), path.stat().st_size - 4096))
            tail = file.read()
    except OSError:
        return {}
    lines = tail[: tail.rfind(b"\n") + 1].splitlines()
    if not lines:
        return {}
    names, values = csv.reader(io.StringIO(f"{header.decode()}{lines[-1].decode()}"))
    found = {}
    for name, value in zip(names, values, strict=False):
        with contextlib.suppress(ValueError):
            found[name] = float(value)
    return found
