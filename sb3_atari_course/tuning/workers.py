"""Worker processes of one machine: each runs trials; the launcher replaces those that die.

``python -m`` of this module is a worker: the launcher starts it with one line of JSON on its
standard input. When that input ends, because the launcher ended, it stops too.
"""

from __future__ import annotations

import _thread
import gc
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import optuna
import torch as th
from optuna import Trial
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.study import Study
from optuna.trial import FrozenTrial

from sb3_atari_course.envs import import_packages
from sb3_atari_course.tuning.storage import open_storage
from sb3_atari_course.tuning.study import ERROR, Standing, find_study, settings_of, standing_of
from sb3_atari_course.tuning.trial import Objective, prepare

#: Deaths for each worker in a row, while no trial finishes, until the launcher gives up.
MOST_DEATHS = 5

#: Trials in a row that end in an error until a worker gives up: most likely it is the machine.
MOST_ERRORS = 3

#: Trials in a row that a worker may lose.
_MOST_LOST = 5

#: Seconds between two looks of the launcher at its workers, and at the study.
_LAUNCHER_PAUSE, _LOOK = 0.2, 2.0

#: Seconds between two looks of a worker at a study that has nothing to do for it.
_PAUSE = 0.5

#: Seconds that an interrupted worker has to end its trial, and until the launcher kills it.
_STOPPING, _KILLING = 20.0, 30.0

#: Seconds between two lines of progress.
_SELDOM = 10.0


@dataclass(frozen=True)
class Job:
    """What a worker has to do.

    :param storage: see :func:`~sb3_atari_course.tuning.storage.open_storage`.
    :param study_name: which study.
    :param folder: of the study, for the yml files of the trials.
    :param n_threads: of PyTorch.
    :param device: of PyTorch.
    :param grace_period: seconds, see :func:`~sb3_atari_course.tuning.storage.open_storage`.
    :param seconds: after which no further trial begins, infinity for no limit.
    """

    storage: str | None
    study_name: str
    folder: str
    n_threads: int
    device: str
    grace_period: int
    seconds: float


class Launcher:
    """Keeps workers at a study until its budget is spent, and prints how it is getting on.

    :param study: to look at.
    :param job: what workers have to do.
    :param n_workers: how many at once.
    """

    def __init__(self, study: Study, job: Job, *, n_workers: int) -> None:
        self._study, self._job, self._n_workers = study, job, n_workers
        self._workers: dict[Path, subprocess.Popen[bytes]] = {}  # by their logs
        self._n_deaths = self._n_finished = 0
        self._n_errors = len(standing_of(study).errors)  # those of another time are not shown
        self._shown, self._next_look, self._next_line = "", 0.0, 0.0

    def run(self) -> None:
        """Start the workers and wait until they are done.

        :raises ValueError: if workers die again and again while no trial finishes.
        """
        try:
            for _ in range(self._n_workers):
                self._start()
            while self._workers:
                time.sleep(_LAUNCHER_PAUSE)
                self._replace_dead()
                if time.monotonic() >= self._next_look:
                    self._look()
        finally:
            self._stop_all()
        self._look()

    def _start(self) -> None:
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{time.monotonic_ns() % 10**9:09}.log"
        log = Path(self._job.folder) / "workers" / name
        log.parent.mkdir(parents=True, exist_ok=True)
        n_threads = str(self._job.n_threads)
        with open(log, "wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "sb3_atari_course.tuning.workers"],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": n_threads, "MKL_NUM_THREADS": n_threads},
                start_new_session=True,  # Ctrl-C reaches the launcher only, which stops them
            )
        self._workers[log] = process
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it died already: seen by the next look
            process.stdin.write(json.dumps(asdict(self._job)).encode() + b"\n")

    def _replace_dead(self) -> None:
        for log, worker in list(self._workers.items()):
            status = worker.poll()
            if status is None:
                continue
            del self._workers[log]
            _stop(worker)  # close the pipe
            if status != 0:
                self._n_deaths += 1
                how = f"ended with status {status}"
                if status < 0:
                    how = f"was killed by {signal.Signals(-status).name}"
                if self._n_deaths >= MOST_DEATHS * self._n_workers:
                    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
                    last = next((one.strip() for one in reversed(lines) if one.strip()), "nothing")
                    raise ValueError(
                        f"{self._n_deaths} workers died and no trial was finished; the last one"
                        f" {how}, the last line of {log}: {last}"
                    )
                print(f"a worker {how}, another one takes its place ({log})", flush=True)
                self._start()

    def _look(self) -> None:
        self._next_look = time.monotonic() + _LOOK
        try:
            standing = standing_of(self._study)
        except (StorageInternalError, OSError, ValueError) as error:  # ValueError: a torn line
            print(f"the storage is away: {error.__cause__ or error}", flush=True)
            return
        if standing.finished > self._n_finished:
            self._n_finished, self._n_deaths = standing.finished, 0
        self._show(standing)

    def _show(self, standing: Standing) -> None:
        """Print each new error, and at most every 10 s how many trials are in which state."""
        for number, error in standing.errors[self._n_errors :]:
            print(f"trial {number} failed: {error}", flush=True)
        self._n_errors = len(standing.errors)
        line = progress_line(standing, self._n_workers)
        if line != self._shown and (standing.is_done or time.monotonic() >= self._next_line):
            print(line, flush=True)
            self._shown, self._next_line = line, time.monotonic() + _SELDOM

    def _stop_all(self) -> None:
        """Stop the workers that are left, at an error or Ctrl-C; kill those that do not end."""
        if self._workers:
            print("stopping the workers ...", flush=True)
        for worker in self._workers.values():
            _stop(worker)
        deadline = time.monotonic() + _KILLING
        for worker in self._workers.values():
            try:
                worker.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


def progress_line(standing: Standing, n_workers: int) -> str:
    """Return e.g. ``finished 12 of 40, running 2, pruned 3, failed 0, best 487.3 (trial 7), ...``.

    :param n_workers: that are at work, for the time left; what runs is taken for half done.
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
    if standing.mean_seconds is not None and not standing.is_done:
        n_left = max(standing.budget - standing.finished - standing.running / 2, 0.5)
        seconds = n_left * standing.mean_seconds / max(standing.running, n_workers)
        hours, minutes = divmod(math.ceil(seconds / 60), 60)
        parts.append(f"about {hours} h {minutes:02} min left")
    return ", ".join(parts)


def work(
    study: Study,
    objective: Callable[[Trial], float],
    *,
    seconds: float = math.inf,
    stop: threading.Event | None = None,
) -> None:
    """Run trials until the budget of a study is spent, its time is over, or nothing succeeds here.

    A trial that fails costs itself only, and so does a storage that is away for a while.

    :param seconds: after which no further trial begins.
    :param stop: when it is set, no further trial begins.
    :raises Exception: if trials cannot be ended, several times in a row.
    :raises KeyboardInterrupt: if ``stop`` was set.
    """
    deadline = time.monotonic() + seconds
    stop = stop or threading.Event()
    n_lost = 0
    ended: list[FrozenTrial] = []  # the last ones of this worker
    while True:
        try:
            if stop.is_set():
                raise KeyboardInterrupt
            optuna.storages.fail_stale_trials(study)
            standing = standing_of(study)
            n_errors = sum(ERROR in trial.user_attrs for trial in ended[-MOST_ERRORS:])
            if standing.is_done or n_errors == MOST_ERRORS or time.monotonic() > deadline:
                return
            if not standing.has_room:
                time.sleep(_PAUSE)
                continue
            keep = [lambda _, trial: ended.append(trial)]
            study.optimize(objective, n_trials=1, catch=(Exception,), callbacks=keep)
            n_lost = 0
        except StorageInternalError as error:
            print(f"the storage is away: {error.__cause__ or error}", flush=True)
            time.sleep(_PAUSE)
        except Exception as error:
            # not the objective's, those are caught: Optuna could not end the trial, most likely
            # because others took this worker for dead
            n_lost += 1
            print(f"a trial is lost: {error!r}", flush=True)
            if n_lost >= _MOST_LOST:
                raise
            time.sleep(_PAUSE * 3**n_lost)  # a disk that is full may be full for a while


def main() -> None:
    """Do the job on standard input."""
    line = sys.stdin.buffer.readline()
    if not line:
        raise SystemExit("sb3_atari_course.tuning.workers is started by `sb3-atari tune`")
    job = Job(**json.loads(line))
    # a job script in the background lets its children ignore Ctrl-C, by which this one is stopped
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stop = threading.Event()
    threading.Thread(target=_stop_with_launcher, args=(stop,), daemon=True).start()
    warnings.simplefilter("ignore", ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    th.set_num_threads(job.n_threads)
    folder = Path(job.folder)
    storage = open_storage(job.storage, folder, grace_period=job.grace_period)
    study = find_study(storage, job.study_name)
    settings = settings_of(study)
    import_packages(list(settings.gym_packages))
    prepare(native=settings.native)
    gc.freeze()  # what is imported stays; looking it over again takes 0.2 s a trial
    print(f"worker {os.getpid()} begins", flush=True)
    objective = Objective(settings, folder / "trials", device=job.device)
    try:
        work(study, objective, seconds=job.seconds, stop=stop)
    except KeyboardInterrupt:
        print("stopped", flush=True)
        raise SystemExit(130) from None


def _stop(worker: subprocess.Popen[bytes]) -> None:
    """End a worker's input, upon which it interrupts its trial."""
    assert worker.stdin is not None
    worker.stdin.close()


def _stop_with_launcher(stop: threading.Event) -> None:
    """Interrupt the training when the launcher is gone; insist if that is not heard."""
    os.read(sys.stdin.fileno(), 1)  # returns at its end; a buffered read would block the exit
    stop.set()
    _thread.interrupt_main()
    time.sleep(_STOPPING)
    os._exit(130)


if __name__ == "__main__":
    main()
