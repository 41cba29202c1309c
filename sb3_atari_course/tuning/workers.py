"""Worker processes that run trials, and the launcher that replaces dead ones.

``python -m sb3_atari_course.tuning.workers`` is a worker on this machine: the launcher starts it
and writes its :class:`Job` as one line of JSON to its standard input. End of input stops the
worker, also if the launcher was killed. On a cluster, Ray starts the workers, and ends them with
the launcher.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

import optuna
import torch as th
from optuna import Trial
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.study import Study
from optuna.trial import FrozenTrial

from sb3_atari_course._common.process_output import output_to
from sb3_atari_course.cluster import Cluster
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
    """Arguments of a worker.

    :param storage: see :func:`~sb3_atari_course.tuning.storage.open_storage`.
    :param study_name: name of the study.
    :param folder: of the study, for the yml files of the trials.
    :param n_threads: threads of PyTorch.
    :param device: PyTorch device.
    :param grace_period: seconds, see :func:`~sb3_atari_course.tuning.storage.open_storage`.
    :param deadline: Unix time after which no further trial starts, infinity for no limit.
    """

    storage: str | None
    study_name: str
    folder: str
    n_threads: int
    device: str
    grace_period: int
    deadline: float


class Worker(Protocol):
    """Worker, as the launcher sees it."""

    def poll(self) -> str | None:
        """Return how it died, an empty string if it has finished, None while it runs."""

    def stop(self) -> None:
        """Interrupt its trial and let it exit."""

    def kill(self) -> None:
        """End it at once, if it has not ended."""


class LocalWorker:
    """Worker process on this machine.

    :param job: its arguments.
    :param log: file to which its output is appended.
    """

    def __init__(self, job: Job, log: Path) -> None:
        n_threads = str(job.n_threads)
        with open(log, "ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sb3_atari_course.tuning.workers"],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": n_threads, "MKL_NUM_THREADS": n_threads},
                start_new_session=True,  # Ctrl-C reaches only the launcher, which stops them
            )
        assert self._process.stdin is not None
        self._input = self._process.stdin
        with suppress(BrokenPipeError):  # it has died: noticed by the next poll
            self._input.write(json.dumps(asdict(job)).encode() + b"\n")

    def poll(self) -> str | None:
        status = self._process.poll()
        if status is None:
            return None
        self.stop()  # close the pipe
        if status < 0:
            return f"killed by {signal.Signals(-status).name}"
        return f"exited with status {status}" if status else ""

    def stop(self) -> None:
        self._input.close()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class ClusterWorker:
    """Worker on a node of a Ray cluster.

    :param job: its arguments.
    :param log: file to which its output is appended, on a file system that all nodes share.
    :param cluster: the cluster.
    :param cpus: CPUs reserved for it.
    :param gpus: GPUs reserved for it.
    """

    def __init__(self, job: Job, log: Path, *, cluster: Cluster, cpus: float, gpus: float) -> None:
        self._task = cluster.start(_run_on_node, job, log, cpus=cpus, gpus=gpus)

    def poll(self) -> str | None:
        ended = self._task.poll()
        if ended is None:
            return None
        if ended.error is not None:
            return f"failed with {type(ended.error).__name__}"
        return ended.death or ""

    def stop(self) -> None:
        self._task.interrupt()

    def kill(self) -> None:
        """Do nothing: Ray kills what still runs when the launcher leaves the cluster."""


class Launcher:
    """Launcher of workers: replaces dead ones, and prints the progress of the study.

    :param study: the study.
    :param job: arguments of the workers.
    :param n_workers: number of workers.
    :param start: starts a worker with a job and a log file.
    """

    def __init__(
        self,
        study: Study,
        job: Job,
        *,
        n_workers: int,
        start: Callable[[Job, Path], Worker] = LocalWorker,
    ) -> None:
        self._study, self._job, self._n_workers, self._start_worker = study, job, n_workers, start
        self._workers: dict[Path, Worker] = {}  # by their logs
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
        log.touch()
        self._workers[log] = self._start_worker(self._job, log)

    def _replace_dead(self) -> None:
        for log, worker in list(self._workers.items()):
            death = worker.poll()
            if death is None:
                continue
            del self._workers[log]
            if death:
                self._n_deaths += 1
                if self._n_deaths >= MAX_DEATHS * self._n_workers:
                    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
                    last = next((one.strip() for one in reversed(lines) if one.strip()), "nothing")
                    raise ValueError(
                        f"{self._n_deaths} workers died without finishing a trial; the last one:"
                        f" {death}; the last line of {log}: {last}"
                    )
                print(f"worker died ({death}), starting another one ({log})", flush=True)
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
        workers = list(self._workers.values())
        for worker in workers:
            worker.stop()
        deadline = time.monotonic() + _KILL_TIMEOUT
        while any(worker.poll() is None for worker in workers) and time.monotonic() < deadline:
            time.sleep(_WORKER_INTERVAL)
        for worker in workers:
            worker.kill()


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


class Interruption:
    """Handler of SIGINT that raises ``KeyboardInterrupt`` only where a worker can be interrupted.

    Elsewhere the worker stops at the next such place: interrupted while Optuna creates a trial, it
    would leave one that runs until it is stale.
    """

    def __init__(self) -> None:
        self._is_received = self._is_possible = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        self._is_received = True
        if self._is_possible:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise ``KeyboardInterrupt`` if the signal was received."""
        if self._is_received:
            raise KeyboardInterrupt

    @contextmanager
    def possible(self) -> Iterator[None]:
        """Let the signal interrupt the code inside, also if it was received before."""
        self._is_possible = True
        try:
            self.check()
            yield
        finally:
            self._is_possible = False


def work(
    study: Study,
    objective: Callable[[Trial], float],
    *,
    seconds: float = math.inf,
    interruption: Interruption | None = None,
) -> None:
    """Run trials until the budget is spent, the time is over, or several trials in a row fail.

    A failed trial, or a storage that is temporarily unavailable, does not end the loop.

    :param study: the study.
    :param objective: the function to maximize.
    :param seconds: time after which no further trial starts.
    :param interruption: the handler of SIGINT, if one is set.
    :raises Exception: if the results of several trials in a row cannot be stored.
    :raises KeyboardInterrupt: if it was interrupted; its trial is marked as failed.
    """
    deadline = time.monotonic() + seconds
    interruption = interruption or Interruption()
    n_lost = 0
    ended: list[FrozenTrial] = []  # trials of this worker

    def run(trial: Trial) -> float:
        with interruption.possible():
            return objective(trial)

    def wait(seconds: float) -> None:
        with interruption.possible():
            time.sleep(seconds)

    while True:
        try:
            interruption.check()
            optuna.storages.fail_stale_trials(study)
            status = status_of(study)
            n_errors = sum(ERROR in trial.user_attrs for trial in ended[-MAX_ERRORS:])
            if status.is_done or n_errors == MAX_ERRORS or time.monotonic() > deadline:
                return
            if not status.has_room:
                wait(_IDLE_INTERVAL)
                continue
            keep = [lambda _, trial: ended.append(trial)]
            study.optimize(run, n_trials=1, catch=(Exception,), callbacks=keep)
            n_lost = 0
        except StorageInternalError as error:
            print(f"storage unavailable, retrying: {error.__cause__ or error}", flush=True)
            wait(_IDLE_INTERVAL)
        except Exception as error:
            # exceptions of the objective are caught: Optuna could not store the result, most likely
            # because another worker marked this one as dead
            n_lost += 1
            print(f"result of a trial lost: {error!r}", flush=True)
            if n_lost >= _MAX_LOST:
                raise
            wait(_IDLE_INTERVAL * 3**n_lost)  # back off: a full disk may take a while


def run_job(job: Job) -> bool:
    """Run trials in this process until the budget is spent.

    :param job: what to run.
    :return: False if it was interrupted.
    """
    warnings.simplefilter("ignore", ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    th.set_num_threads(job.n_threads)
    folder = Path(job.folder)
    try:
        storage = open_storage(job.storage, folder, grace_period=job.grace_period)
        study = find_study(storage, job.study_name)
        settings = settings_of(study)
        import_packages(list(settings.gym_packages))
        prepare(native=settings.native)
        gc.freeze()  # imported modules stay: collecting over them would take 0.2 s per trial
        print(f"worker {os.getpid()} started", flush=True)
        objective = Objective(settings, folder / "trials", device=job.device)
        interruption = Interruption()
        signal.signal(signal.SIGINT, interruption)
        seconds = job.deadline - time.time()
        work(study, objective, seconds=seconds, interruption=interruption)
    except KeyboardInterrupt:
        print("stopped", flush=True)
        return False
    return True


def main() -> None:
    """Run the job that is read from standard input."""
    line = sys.stdin.buffer.readline()
    if not line:
        raise SystemExit("sb3_atari_course.tuning.workers must be started by `sb3-atari tune`")
    job = Job(**json.loads(line))
    # background jobs ignore SIGINT, but interrupt_main() needs its default handler
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_stop_with_launcher, daemon=True).start()
    if not run_job(job):
        raise SystemExit(130)


def _run_on_node(job: Job, log: Path) -> None:
    with output_to(log):
        run_job(job)


def _stop_with_launcher() -> None:
    """Interrupt the trial when standard input ends; exit if it does not stop in time."""
    os.read(sys.stdin.fileno(), 1)  # returns at end of input; a buffered read would block exit
    _thread.interrupt_main()
    time.sleep(_EXIT_TIMEOUT)
    os._exit(130)


if __name__ == "__main__":
    main()
