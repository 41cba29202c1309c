"""A process that runs trials until the budget is spent; ``python -m`` of this module.

The launcher starts it and tells it what to do in one line of JSON on its standard input. When that
input ends, because the launcher ended, it stops too.
"""

from __future__ import annotations

import _thread
import gc
import importlib
import json
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import optuna
import torch as th
from optuna import Trial
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from sb3_atari_course.tuning.objective import Objective
from sb3_atari_course.tuning.storage import open_storage
from sb3_atari_course.tuning.study import ERROR, find_study, settings_of, standing_of

#: Seconds between two looks at a study that has nothing to do for this worker.
_PAUSE = 0.5

#: Trials in a row that end in an error until this worker gives up: most likely it is the machine.
MOST_ERRORS = 3

#: Seconds that an interrupted worker has to end its trial.
_STOPPING = 20.0

#: Trials in a row that may be lost.
_MOST_LOST = 5

#: Seconds to wait for a database when a worker begins: the launcher has seen it.
_PATIENCE = 300.0


@dataclass(frozen=True)
class Job:
    """What a worker is told.

    :param storage: see :func:`~sb3_atari_course.tuning.storage.open_storage`.
    :param study_name: which study.
    :param folder: of the study, for the yml files of the trials.
    :param n_threads: of PyTorch.
    :param device: of PyTorch.
    :param grace_period: seconds, see :func:`~sb3_atari_course.tuning.storage.open_storage`.
    :param seconds: after which no further trial begins; None for no limit.
    """

    storage: str | None
    study_name: str
    folder: str
    n_threads: int
    device: str
    grace_period: int
    seconds: float | None

    def line(self) -> bytes:
        """Return the line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"


def work(
    study: Study,
    objective: Callable[[Trial], float],
    *,
    seconds: float | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Run trials until the budget of a study is spent, its time is over, or nothing succeeds here.

    A trial that fails costs itself only, and so does a storage that is away for a while.

    :param seconds: after which no further trial begins; None for no limit.
    :param stop: when it is set, no further trial begins.
    :raises Exception: if trials cannot be ended, several times in a row.
    :raises KeyboardInterrupt: if ``stop`` was set.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    n_lost = 0
    errors = ErrorsInARow()
    while True:
        try:
            if stop is not None and stop.is_set():
                raise KeyboardInterrupt
            optuna.storages.fail_stale_trials(study)
            standing = standing_of(study)
            is_late = deadline is not None and time.monotonic() > deadline
            if standing.is_done or errors.n >= MOST_ERRORS or is_late:
                return
            if not standing.has_room:
                time.sleep(_PAUSE)
                continue
            study.optimize(objective, n_trials=1, catch=(Exception,), callbacks=[errors])
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


class ErrorsInARow:
    """Counts the trials of this worker that failed by an error since the last that did not."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        """Look at a trial that has ended."""
        if trial.state != TrialState.FAIL:
            self.n = 0
        elif ERROR in trial.user_attrs:
            self.n += 1


def main() -> None:
    """Do the job on standard input."""
    line = sys.stdin.buffer.readline()
    if not line:
        raise SystemExit("sb3_atari_course.tuning.worker is started by `sb3-atari tune`")
    job = Job(**json.loads(line))
    # a job script in the background lets its children ignore Ctrl-C, by which this one is stopped
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stop = threading.Event()
    threading.Thread(target=_stop_with_launcher, args=(stop,), daemon=True).start()
    warnings.simplefilter("ignore", ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    th.set_num_threads(job.n_threads)
    folder = Path(job.folder)
    storage = open_storage(job.storage, folder, grace_period=job.grace_period, patience=_PATIENCE)
    study = find_study(storage, job.study_name)
    settings = settings_of(study)
    for module in settings.gym_packages:
        importlib.import_module(module)
    prepare(native=settings.native)
    gc.freeze()  # what is imported stays; looking it over again takes 0.2 s a trial
    print(f"worker {os.getpid()} begins", flush=True)
    objective = Objective(settings, folder / "trials", device=job.device)
    try:
        work(study, objective, seconds=job.seconds, stop=stop)
    except KeyboardInterrupt:
        print("stopped", flush=True)
        raise SystemExit(130) from None


def prepare(*, native: bool) -> None:
    """Make our algorithms and environments known to RL Zoo."""
    from sb3_atari_course.envs import register_envs
    from sb3_atari_course.zoo.algorithms import register_algorithms

    register_envs()
    register_algorithms()
    if native:
        importlib.import_module("sb3_atari_course.native_zoo")


def _stop_with_launcher(stop: threading.Event) -> None:
    """Interrupt the training when the launcher is gone; insist if that is not heard."""
    os.read(sys.stdin.fileno(), 1)  # returns at its end; a buffered read would block the exit
    stop.set()
    _thread.interrupt_main()
    time.sleep(_STOPPING)
    os._exit(130)


if __name__ == "__main__":
    main()
