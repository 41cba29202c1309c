"""Worker processes that run trials, and the launcher that replaces dead ones.

``python -m sb3_atari_course.tuning.workers`` is a worker: the launcher starts it and writes its
:class:`Job` as one line of JSON to its standard input. End of input stops the worker, also if the
launcher was killed.
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
from sb3_atari_course.tuning.study import ERROR, StudyStatus, find_study, settings_of, status_of
from sb3_atari_course.tuning.trial import Objective, prepare

#: The launcher gives up after this many deaths per worker without a finished trial.
MAX_DEATHS = 5

#: A worker gives up after this many failed trials in a row: probably the machine is at fault.
MAX_ERRORS = 3

#: A worker gives up after this many trials in a row whose result could not be stored.
_MAX_LOST = 5

#: Seconds between the launcher's checks of its workers, and of the study.
_WORKER_INTERVAL, _STUDY_INTERVAL = 0.2, 2.0

#: Seconds between a worker's checks of a study that has no trial for it.
_IDLE_INTERVAL = 0.5

#: Seconds until an interrupted worker exits, and until the launcher kills it.
_EXIT_TIMEOUT, _KILL_TIMEOUT = 20.0, 30.0

#: Minimum seconds between two progress lines.
_PROGRESS_INTERVAL = 10.0


@dataclass(frozen=True)
class Job:
    """Arguments of a worker process.

    :param storage: see :func:`~sb3_atari_course.tuning.storage.open_storage`.
    :param study_name: name of the study.
    :param folder: of the study, for the yml files of the trials.
    :param n_threads: threads of PyTorch.
    :param device: PyTorch device.
    :param grace_period: seconds, see :func:`~sb3_atari_course.tuning.storage.open_storage`.
    :param seconds: time after which no further trial starts, infinity for no limit.
    """

    storage: str | None
    study_name: str
    folder: str
    n_threads: int
    device: str
    grace_period: int
    seconds: float


class Launcher:
    """Launcher of worker processes: replaces dead ones, and prints the progress of the study.

    :param study: the study.
    :param job: arguments of the workers.
    :param n_workers: number of workers.
    """

    def __init__(self, study: Study, job: Job, *, n_workers: int) -> None:
        self._study, self._job, self._n_workers = study, job, n_workers
        self._workers: dict[Path, subprocess.Popen[bytes]] = {}  # by their logs
        self._n_deaths = self._n_finished = 0
        self._n_errors = len(status_of(study).errors)  # print only new ones
        self._shown, self._next_check, self._next_line = "", 0.0, 0.0

    def run(self) -> None:
        """Start the workers and wait until they have finished.

        :raises ValueError: if workers die repeatedly while no trial finishes.
        """
        try:
            for _ in range(self._n_workers):
                self._start()
            while self._workers:
                time.sleep(_WORKER_INTERVAL)
                self._replace_dead()
                if time.monotonic() >= self._next_check:
                    self._check_study()
        finally:
            self._stop_all()
        self._check_study()

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
                start_new_session=True,  # Ctrl-C reaches only the launcher, which stops them
            )
        self._workers[log] = process
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it has died: noticed by the next check
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
                how = f"exited with status {status}"
                if status < 0:
                    how = f"was killed by {signal.Signals(-status).name}"
                if self._n_deaths >= MAX_DEATHS * self._n_workers:
                    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
                    last = next((one.strip() for one in reversed(lines) if one.strip()), "nothing")
                    raise ValueError(
                        f"{self._n_deaths} workers died without finishing a trial; the last one"
                        f" {how}, the last line of {log}: {last}"
                    )
                print(f"worker {how}, starting another one ({log})", flush=True)
                self._start()

    def _check_study(self) -> None:
        self._next_check = time.monotonic() + _STUDY_INTERVAL
        try:
            status = status_of(self._study)
        except (StorageInternalError, OSError, ValueError) as error:  # ValueError: partial line
            print(f"storage unavailable, retrying: {error.__cause__ or error}", flush=True)
            return
        if status.finished > self._n_finished:
            self._n_finished, self._n_deaths = status.finished, 0
        self._show(status)

    def _show(self, status: StudyStatus) -> None:
        """Print each new error, and the progress at most every ``_PROGRESS_INTERVAL``."""
        for number, error in status.errors[self._n_errors :]:
            print(f"trial {number} failed: {error}", flush=True)
        self._n_errors = len(status.errors)
        line = progress_line(status, self._n_workers)
        if line != self._shown and (status.is_done or time.monotonic() >= self._next_line):
            print(line, flush=True)
            self._shown, self._next_line = line, time.monotonic() + _PROGRESS_INTERVAL

    def _stop_all(self) -> None:
        """Stop the remaining workers after an error or Ctrl-C; kill those that do not exit."""
        if self._workers:
            print("stopping the workers ...", flush=True)
        for worker in self._workers.values():
            _stop(worker)
        deadline = time.monotonic() + _KILL_TIMEOUT
        for worker in self._workers.values():
            try:
                worker.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


def progress_line(status: StudyStatus, n_workers: int) -> str:
    """Return e.g. ``finished 12 of 40, running 2, pruned 3, failed 0, best 487.3 (trial 7), ...``.

    :param status: of the study.
    :param n_workers: number of workers, for the time left; running trials count as half finished.
    """
    parts = [
        f"finished {status.finished} of {status.budget}",
        f"running {status.running}",
        f"pruned {status.pruned}",
        f"failed {len(status.errors)}",
    ]
    if status.n_died:
        parts.append(f"killed {status.n_died}")
    if status.best is not None:
        parts.append(f"best {status.best.values[0]:.4g} (trial {status.best.number})")
    if status.mean_seconds is not None and not status.is_done:
        n_left = max(status.budget - status.finished - status.running / 2, 0.5)
        seconds = n_left * status.mean_seconds / max(status.running, n_workers)
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
    """Run trials until the budget is spent, the time is over, or several trials in a row fail.

    A failed trial, or a storage that is temporarily unavailable, does not end the loop.

    :param study: the study.
    :param objective: the function to maximize.
    :param seconds: time after which no further trial starts.
    :param stop: no further trial starts once it is set.
    :raises Exception: if the results of several trials in a row cannot be stored.
    :raises KeyboardInterrupt: if ``stop`` was set.
    """
    deadline = time.monotonic() + seconds
    stop = stop or threading.Event()
    n_lost = 0
    ended: list[FrozenTrial] = []  # trials of this worker
    while True:
        try:
            if stop.is_set():
                raise KeyboardInterrupt
            optuna.storages.fail_stale_trials(study)
            status = status_of(study)
            n_errors = sum(ERROR in trial.user_attrs for trial in ended[-MAX_ERRORS:])
            if status.is_done or n_errors == MAX_ERRORS or time.monotonic() > deadline:
                return
            if not status.has_room:
                time.sleep(_IDLE_INTERVAL)
                continue
            keep = [lambda _, trial: ended.append(trial)]
            study.optimize(objective, n_trials=1, catch=(Exception,), callbacks=keep)
            n_lost = 0
        except StorageInternalError as error:
            print(f"storage unavailable, retrying: {error.__cause__ or error}", flush=True)
            time.sleep(_IDLE_INTERVAL)
        except Exception as error:
            # exceptions of the objective are caught: Optuna could not store the result, most likely
            # because another worker marked this one as dead
            n_lost += 1
            print(f"result of a trial lost: {error!r}", flush=True)
            if n_lost >= _MAX_LOST:
                raise
            time.sleep(_IDLE_INTERVAL * 3**n_lost)  # back off: a full disk may take a while


def main() -> None:
    """Run the job that is read from standard input."""
    line = sys.stdin.buffer.readline()
    if not line:
        raise SystemExit("sb3_atari_course.tuning.workers must be started by `sb3-atari tune`")
    job = Job(**json.loads(line))
    # background jobs ignore SIGINT, but interrupt_main() needs its default handler
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
    gc.freeze()  # imported modules stay: collecting over them would take 0.2 s per trial
    print(f"worker {os.getpid()} started", flush=True)
    objective = Objective(settings, folder / "trials", device=job.device)
    try:
        work(study, objective, seconds=job.seconds, stop=stop)
    except KeyboardInterrupt:
        print("stopped", flush=True)
        raise SystemExit(130) from None


def _stop(worker: subprocess.Popen[bytes]) -> None:
    """Close a worker's standard input, whereupon it interrupts its trial."""
    assert worker.stdin is not None
    worker.stdin.close()


def _stop_with_launcher(stop: threading.Event) -> None:
    """Interrupt the trial when standard input ends; exit if it does not stop in time."""
    os.read(sys.stdin.fileno(), 1)  # returns at end of input; a buffered read would block exit
    stop.set()
    _thread.interrupt_main()
    time.sleep(_EXIT_TIMEOUT)
    os._exit(130)


if __name__ == "__main__":
    main()
