"""The workers of one machine: started, watched, replaced when they die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from optuna.exceptions import StorageInternalError
from optuna.study import Study

from sb3_atari_course.tuning.progress import Progress
from sb3_atari_course.tuning.study import standing_of
from sb3_atari_course.tuning.worker import Job

#: Deaths for each worker in a row, while no trial finishes, until the launcher gives up.
MOST_DEATHS = 5

#: Seconds between two looks at the workers, between two looks at the study, and for which a worker
#: may go on that is told to stop.
_PAUSE, _LOOK, _STOPPING = 0.2, 2.0, 30.0


@dataclass(frozen=True)
class Worker:
    """A process that runs trials.

    :param log: where its output goes.
    """

    process: subprocess.Popen[bytes]
    log: Path

    def tell_to_stop(self) -> None:
        """End its input, upon which it interrupts its trial."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def last_words(self) -> str:
        """Return the last line that it wrote."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")


class Launcher:
    """Keeps workers at a study until its budget is spent.

    :param study: to look at.
    :param job: what workers are told.
    :param n_workers: how many at once.
    :param progress: tells how the study is getting on.
    """

    def __init__(self, study: Study, job: Job, *, n_workers: int, progress: Progress) -> None:
        self._study, self._job = study, job
        self._n_workers, self._progress = n_workers, progress
        self._workers: list[Worker] = []
        self._n_deaths = self._n_finished = 0
        progress.know(standing_of(study))
        self._next_look = 0.0

    def run(self) -> None:
        """Start the workers and wait until they are done.

        :raises ValueError: if workers die again and again while no trial finishes.
        """
        with self._none_left_behind():
            for _ in range(self._n_workers):
                self._start()
            while self._workers:
                time.sleep(_PAUSE)
                self._replace_dead()
                self._look()
        self._look(now=True)

    def _start(self) -> None:
        folder = Path(self._job.folder) / "workers"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{time.monotonic_ns() % 10**9:09}.log"
        n_threads = str(self._job.n_threads)
        with open(folder / name, "wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "sb3_atari_course.tuning.worker"],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": n_threads, "MKL_NUM_THREADS": n_threads},
                start_new_session=True,  # Ctrl-C reaches the launcher only, which stops them
            )
        self._workers.append(Worker(process, folder / name))
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it died already: seen by the next look
            process.stdin.write(self._job.line())

    def _replace_dead(self) -> None:
        for worker in list(self._workers):
            status = worker.process.poll()
            if status is None:
                continue
            self._workers.remove(worker)
            worker.tell_to_stop()  # close the pipe
            if status != 0:
                self._n_deaths += 1
                how = f"ended with status {status}"
                if status < 0:
                    how = f"was killed by {signal.Signals(-status).name}"
                if self._n_deaths >= MOST_DEATHS * self._n_workers:
                    raise ValueError(
                        f"{self._n_deaths} workers died and no trial was finished; the last one"
                        f" {how}, its last words in {worker.log}: {worker.last_words()}"
                    )
                self._progress.tell(f"a worker {how}, another one takes its place ({worker.log})")
                self._start()

    def _look(self, *, now: bool = False) -> None:
        if not now and time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK
        try:
            standing = standing_of(self._study)
        except (StorageInternalError, OSError, ValueError) as error:  # ValueError: a torn line
            self._progress.tell(f"the storage is away: {error.__cause__ or error}")
            return
        if standing.finished > self._n_finished:
            self._n_finished, self._n_deaths = standing.finished, 0
        self._progress.show(standing, len(self._workers))

    @contextmanager
    def _none_left_behind(self) -> Iterator[None]:
        """Stop all workers, whatever happens."""
        try:
            yield
        finally:
            if self._workers:
                self._progress.tell("stopping the workers ...")
            for worker in self._workers:
                worker.tell_to_stop()
            deadline = time.monotonic() + _STOPPING
            for worker in self._workers:
                try:
                    worker.process.wait(max(deadline - time.monotonic(), 0.1))
                except subprocess.TimeoutExpired:
                    worker.process.kill()
                    worker.process.wait()
