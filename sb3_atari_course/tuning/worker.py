"""A process that runs trials until the budget is spent; ``python -m`` of this module.

The launcher starts it and tells it what to do in one line of JSON on its standard input. When that
input ends, because the launcher ended, it stops too.
"""

from __future__ import annotations

import _thread
import importlib
import json
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
import torch as th
from optuna import Trial
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.study import Study

from sb3_atari_course.tuning.objective import Objective
from sb3_atari_course.tuning.storage import open_storage
from sb3_atari_course.tuning.study import find_study, settings_of, standing_of

#: Seconds between two looks at a study that has nothing to do for this worker.
_PAUSE = 0.5

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
    :param gym_packages: modules to import that register environments.
    """

    storage: str | None
    study_name: str
    folder: str
    n_threads: int
    device: str
    grace_period: int
    seconds: float | None
    gym_packages: tuple[str, ...]

    def line(self) -> bytes:
        """Return the line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"


def work(
    study: Study, objective: Callable[[Trial], float], *, seconds: float | None = None
) -> None:
    """Run trials until the budget of a study is spent, its time is over, or nothing succeeds.

    A trial that fails costs itself only, and so does a storage that is away for a while.

    :param seconds: after which no further trial begins; None for no limit.
    :raises Exception: if trials cannot be ended, several times in a row.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    n_lost = 0
    while True:
        try:
            optuna.storages.fail_stale_trials(study)
            standing = standing_of(study)
            is_late = deadline is not None and time.monotonic() > deadline
            if standing.is_done or standing.is_hopeless or is_late:
                return
            if not standing.has_room:
                time.sleep(_PAUSE)
                continue
            study.optimize(objective, n_trials=1, catch=(Exception,))
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


def main() -> None:
    """Do the job on standard input."""
    line = sys.stdin.buffer.readline()
    if not line:
        raise SystemExit("sb3_atari_course.tuning.worker is started by `sb3-atari tune`")
    content: dict[str, Any] = json.loads(line)
    job = Job(**{**content, "gym_packages": tuple(content["gym_packages"])})
    threading.Thread(target=_stop_with_launcher, daemon=True).start()
    warnings.simplefilter("ignore", ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    th.set_num_threads(job.n_threads)
    for module in job.gym_packages:
        importlib.import_module(module)
    folder = Path(job.folder)
    storage = open_storage(job.storage, folder, grace_period=job.grace_period, patience=_PATIENCE)
    study = find_study(storage, job.study_name)
    settings = settings_of(study)
    prepare(native=settings.native)
    print(f"worker {os.getpid()} begins", flush=True)
    try:
        work(study, Objective(settings, folder / "trials", device=job.device), seconds=job.seconds)
    except KeyboardInterrupt:
        print("stopped", flush=True)
        raise SystemExit(130) from None


def prepare(*, native: bool) -> None:
    """Make our algorithms and environments known to RL Zoo."""
    from sb3_atari_course.algorithms import register_algorithms
    from sb3_atari_course.envs import register_envs

    register_envs()
    register_algorithms()
    if native:
        importlib.import_module("sb3_atari_course.native_zoo")


def _stop_with_launcher() -> None:
    """Interrupt the training when the launcher is gone."""
    os.read(sys.stdin.fileno(), 1)  # returns at its end; a buffered read would block the exit
    _thread.interrupt_main()


if __name__ == "__main__":
    main()
