"""Job of a suite: train or resume one run, then evaluate its agent. Executed on any node."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch as th

from sb3_atari_course._common.atomic_files import write_atomically
from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course._common.process_output import output_to
from sb3_atari_course.checkpoints.folder import FOLDER, CheckpointFolder
from sb3_atari_course.envs import import_packages, register_envs
from sb3_atari_course.suite.suite_file import RunSettings, SuiteSettings
from sb3_atari_course.suite.suite_folder import SuiteFolder
from sb3_atari_course.zoo.algorithms import register_algorithms
from sb3_atari_course.zoo.resume_experiment import resume_experiment
from sb3_atari_course.zoo.run_folder import find_run, sha256_of, write_evaluation

#: Seconds to wait for a process that still trains in the folder, for example on a lost node.
_LOCK_TIMEOUT = 120.0

#: Exit statuses of a training that a signal has stopped, after a checkpoint.
_STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)


@dataclass(frozen=True)
class RunJob:
    """Job of a suite: one run.

    :param folder: of the suite.
    :param settings: of the run.
    :param suite: settings of the suite.
    :param train: the command ``train``, a function of its arguments.
    :param n_threads: threads of PyTorch.
    :param device: PyTorch device.
    :param checkpoint_freq: agent steps between two checkpoints.
    """

    folder: SuiteFolder
    settings: RunSettings
    suite: SuiteSettings
    train: Callable[[Sequence[str]], None]
    n_threads: int
    device: str
    checkpoint_freq: int

    def __call__(self) -> bool:
        """Train and evaluate, as far as that is not done; output goes to the log of the run.

        :return: True if it is finished, False if it was interrupted.
        :raises CheckpointError: if training ended without its last checkpoint, or its checkpoints
            cannot be read.
        :raises Exception: if training failed.
        """
        folder, settings = self.folder, self.settings
        with output_to(folder.log(settings)), _registered(folder.process(settings)):
            try:
                import_packages(self.suite.gym_packages)
                register_envs()
                if not folder.is_trained(settings):
                    if not self._train_or_resume():
                        return False
                    if not folder.is_trained(settings):
                        raise CheckpointError(
                            "its last checkpoint or its model could not be written: the same"
                            " command tries again"
                        )
                if not folder.is_evaluated(settings, self.suite):
                    self._evaluate()
            except KeyboardInterrupt:
                print("interrupted", flush=True)
                return False
        return True

    def _train_or_resume(self) -> bool:
        """Train until the end; return False if a signal has stopped it."""
        run = self.folder.run(self.settings)
        checkpoints = CheckpointFolder(run / FOLDER)
        deadline = time.monotonic() + _LOCK_TIMEOUT
        while checkpoints.is_used():
            if time.monotonic() > deadline:
                raise CheckpointError(f"another process trains in {run}: stop it")
            time.sleep(0.5)
        newest = checkpoints.peek()
        if newest is not None and newest.finished:
            # killed before the model was saved: the last steps are trained again
            (checkpoints.path / newest.name).unlink()
            newest = checkpoints.peek()
        try:
            if newest is not None:
                resume_experiment(run, num_threads=self.n_threads, device=self.device)
            elif checkpoints.has_checkpoints:
                raise CheckpointError(
                    f"no checkpoint in {checkpoints.path} can be read now, or by this version of"
                    f" sb3_atari_course: to train again from the start, remove {run}"
                )
            else:
                shutil.rmtree(run, ignore_errors=True)  # killed before the first checkpoint
                self.train(self._arguments())
        except SystemExit as end:
            if end.code not in _STOPPED:
                raise RuntimeError(f"train ended with status {end.code}") from end
            return False
        return True

    def _arguments(self) -> list[str]:
        settings = self.settings
        arguments = [
            *("--algo", settings.algo, "--env", settings.env_id, "--seed", str(settings.seed)),
            *("-conf", str(self.folder.yml(settings)), "-f", str(self.folder.path)),
            *("--run-number", str(settings.seed), "--vec-env", settings.vec_env),
            *("--num-threads", str(self.n_threads), "--device", self.device),
            *("--checkpoint-freq", str(self.checkpoint_freq), "--eval-freq", "-1"),
        ]
        if self.suite.gym_packages:
            arguments += ["--gym-packages", *self.suite.gym_packages]
        sys.orig_argv[:] = ["python", "-m", "sb3_atari_course", "train", *arguments]  # command.txt
        return arguments

    def _evaluate(self) -> None:
        settings, evaluation = self.settings, self.suite.evaluation
        th.set_num_threads(self.n_threads)
        register_algorithms()
        folder = self.folder.path
        run = find_run(settings.algo, settings.env_id, folder, exp_id=settings.seed)
        sha256 = sha256_of(run.model_path)
        report = run.evaluate(
            seed=evaluation.seed,
            n_games=evaluation.n_games,
            epsilon=evaluation.epsilon,
            random_play=False,
            device=self.device,
            progress_bar=True,
        )
        print(report, flush=True)
        write_evaluation(run, report, sha256)


@contextlib.contextmanager
def _registered(path: Path) -> Iterator[None]:
    """Write host and process id to a file while the job runs."""
    content = json.dumps({"host": platform.node(), "pid": os.getpid(), "started": time.time()})
    write_atomically(path, lambda file: file.write(content.encode()))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
