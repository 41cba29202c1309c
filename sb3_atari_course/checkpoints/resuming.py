"""Resume a training from its newest whole checkpoint, in the same run folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course._common.progress import Progress
from sb3_atari_course._common.state_tree import Tree
from sb3_atari_course._common.validation import boolean, explain_arguments, integer_at_least
from sb3_atari_course.callbacks import Callbacks, all_within
from sb3_atari_course.checkpoints.callback import ExactCheckpoint, take_over
from sb3_atari_course.checkpoints.folder import (
    FOLDER,
    Checkpoint,
    CheckpointFolder,
    how_to_resume,
    installed_versions,
)
from sb3_atari_course.checkpoints.log_files import cut_logs, reopen_logger
from sb3_atari_course.checkpoints.snapshot import (
    check_facts,
    write_callbacks,
    write_parameters,
)


@dataclass(frozen=True)
class Resumption:
    """A checkpoint from which a training is about to continue.

    :param folder: locked for this process.
    :param tree: all but the replay buffer.
    :param n_timesteps: agent steps after which the training is finished.
    """

    folder: CheckpointFolder
    checkpoint: Checkpoint
    tree: Tree
    n_timesteps: int

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder.path.parent

    def prepare(self, model: BaseAlgorithm, callbacks: Sequence[BaseCallback]) -> None:
        """Prepare callbacks and log; the rest is put in its place at the first rollout.

        What was logged after the checkpoint is cut off, once nothing speaks against resuming.

        :raises CheckpointError: if model or callbacks are others than the training had.
        """
        check_facts(model, self.checkpoint.facts)
        model.num_timesteps = 0  # learn() adds the steps of a model that has trained to its length
        write_parameters(model, self.tree["training"])
        write_callbacks(callbacks, self.tree["callbacks"])
        run, logs = self.run.resolve(), self.tree["logs"]
        for problem in cut_logs(logs, run):
            print(f"{problem}: what is missing is lost, the file continues", flush=True)
        model.set_logger(reopen_logger(logs, run, first_step=self.checkpoint.step + 1))
        for one in all_within(callbacks):
            if isinstance(one, ExactCheckpoint):
                one.resume_from(self.folder, self.checkpoint)


@explain_arguments
def resume(
    path: str | os.PathLike[str],
    model: BaseAlgorithm | None = None,
    *,
    callback: Callbacks | None = None,
    n_timesteps: int | None = None,
    num_threads: int | None = None,
    progress: bool = False,
) -> BaseAlgorithm:
    """Resume the training of a script as if it had never stopped, and return its model at the end.

    What was logged after the checkpoint is cut off first, and comes again. Schedules stay those of
    the first ``n_timesteps``; in a longer training they stay at their end. (A training of RL Zoo or
    our launcher is resumed by ``python -m sb3_atari_course resume RUN_DIR``.)

    :param path: the run folder, in which ``checkpoints`` lies.
    :param model: built as the first time; required. Monitor files of its environments are continued
        with ``monitor_kwargs={"override_existing": False}`` (native: ``monitor_append=True``).
    :param callback: the callbacks that the training had, in the same order; ``ExactCheckpoint``
        may be left out.
    :param n_timesteps: agent steps after which the training is finished; None: as it was begun.
    :param num_threads: of PyTorch; None: as the training was begun. Another number may change the
        last digits of a sum, and so the training.
    :param progress: show a progress bar, whether or not the training had one.
    :raises CheckpointError: if there is no whole checkpoint, if another process trains there, if
        the training is finished already, if what is passed does not fit.
    :raises TypeError: without a model; for a ``progress`` that is not a bool.
    :raises ValueError: for a number out of range.
    """
    if not isinstance(model, BaseAlgorithm):
        raise TypeError(
            f"resume takes the model, built as the first time, got {model!r}:"
            f" resume({os.fspath(path)!r}, DQN(...)). A training of RL Zoo or our launcher is built"
            f" again by the command `{how_to_resume(Path(path))}`"
        )
    boolean("progress", progress)
    with find_checkpoint(path, n_timesteps=n_timesteps, num_threads=num_threads) as resumption:
        begun = resumption.checkpoint.begun
        if "experiment" in begun:
            raise CheckpointError(
                f"{path} is a run of RL Zoo, which is built again from its settings:"
                f" `{how_to_resume(Path(path))}`"
            )
        callbacks = _callbacks(callback, begun["every"], begun["place"])
        resumption.prepare(model, callbacks)
        return model.learn(
            resumption.n_timesteps,
            callback=callbacks,
            reset_num_timesteps=False,
            progress_bar=progress,
            **begun["learn"],
        )


@contextmanager
def find_checkpoint(
    path: str | os.PathLike[str],
    *,
    n_timesteps: int | None = None,
    num_threads: int | None = None,
) -> Iterator[Resumption]:
    """Yield the newest whole checkpoint of a run, whose folder is locked meanwhile.

    PyTorch gets its number of threads.

    :raises CheckpointError: if there is none, if another process trains there, if the training is
        finished already.
    :raises ValueError: for a number out of range.
    """
    for name, number in (("num_threads", num_threads), ("n_timesteps", n_timesteps)):
        if number is not None:
            integer_at_least(1, name, number)
    run = Path(path)
    folder = CheckpointFolder(run / FOLDER)
    if not folder.path.is_dir():
        raise CheckpointError(
            f"{run} has no folder {FOLDER}: nothing to resume there. A model without checkpoints"
            " can begin a new training: rl_zoo3.train -i MODEL.zip"
        )
    take_over(folder.path)
    try:
        folder.lock()
    except OSError as error:
        raise CheckpointError(f"{folder.path} cannot be written to: {error}") from error
    try:
        resumption = _newest_of(folder, n_timesteps)
        th.set_num_threads(num_threads or resumption.checkpoint.begun["threads"])
        yield resumption
    finally:
        folder.unlock()


def _newest_of(folder: CheckpointFolder, n_timesteps: int | None) -> Resumption:
    with Progress("Reading the checkpoint"):
        checkpoint = folder.newest()
    for warning in checkpoint.warnings:
        print(f"{warning}; the checkpoint before it is taken", flush=True)
    here = installed_versions()
    changes = [
        f"{name} {version} is {here.get(name, 'not here')} now"
        for name, version in checkpoint.versions.items()
        if here.get(name) != version
    ]
    if changes:
        print(f"It may not resume to the bit: since the checkpoint, {', '.join(changes)}")
    n_timesteps = n_timesteps or checkpoint.n_timesteps
    if n_timesteps <= checkpoint.step:
        raise CheckpointError(
            f"{folder.path.parent} is at step {checkpoint.step:,} already, {n_timesteps:,} are"
            " asked for: to train longer ask for more, with -n N or n_timesteps=N"
        )
    return Resumption(folder, checkpoint, folder.read_state(checkpoint), n_timesteps)


def _callbacks(callback: Callbacks | None, every: int, place: int | None) -> list[BaseCallback]:
    """Return the callbacks as a list, our own among them."""
    given = [callback] if isinstance(callback, BaseCallback) else list(callback or [])
    if not any(isinstance(one, ExactCheckpoint) for one in all_within(given)):
        given.insert(len(given) if place is None else place, ExactCheckpoint(every))
    return given
