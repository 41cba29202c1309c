"""Resume training from the newest valid checkpoint, in the same run folder."""

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
from sb3_atari_course.checkpoints.callback import ExactCheckpoint, release_earlier_lock
from sb3_atari_course.checkpoints.folder import (
    FOLDER,
    Checkpoint,
    CheckpointFolder,
    how_to_resume,
    installed_versions,
)
from sb3_atari_course.checkpoints.log_files import reopen_logger, truncate_logs
from sb3_atari_course.checkpoints.snapshot import (
    check_facts,
    write_callbacks,
    write_parameters,
)


@dataclass(frozen=True)
class Resumption:
    """Checkpoint from which training is about to continue.

    :param folder: the checkpoint folder, locked by this process.
    :param checkpoint: the header of the checkpoint.
    :param tree: its state without the replay buffer.
    :param n_timesteps: total agent steps of the run.
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
        """Restore weights, callbacks and logs; the rest is restored at the first rollout.

        The log files are truncated to the checkpoint, after all checks have passed.

        :raises CheckpointError: if the model or callbacks do not match those of the original run.
        """
        check_facts(model, self.checkpoint.facts)
        model.num_timesteps = 0  # learn() would add it to total_timesteps
        write_parameters(model, self.tree["training"])
        write_callbacks(callbacks, self.tree["callbacks"])
        run, logs = self.run.resolve(), self.tree["logs"]
        for problem in truncate_logs(logs, run):
            print(f"{problem}: the missing part is lost, logging continues", flush=True)
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
    """Resume training from the newest valid checkpoint and return the trained model.

    With Python environments the result is that of an uninterrupted run, bit for bit. Native and
    Box2D environments start new episodes, so the result differs. Log files are truncated to the
    checkpoint. Schedules keep the length of the original ``total_timesteps`` and stay at their
    final value if training is extended. Runs of RL Zoo or of ``python -m sb3_atari_course train``
    are resumed by ``python -m sb3_atari_course resume RUN_DIR`` instead.

    :param path: the run folder, which contains ``checkpoints``.
    :param model: model with its environments, created as for the original run; required. To
        continue its Monitor files, pass ``monitor_kwargs={"override_existing": False}`` to
        ``make_vec_env()`` or ``make_atari_env()`` (``monitor_append=True`` to
        :class:`~sb3_atari_course.envs.native.NativeAtariVecEnv`).
    :param callback: the callbacks of the original run, in the same order; ``ExactCheckpoint``
        may be omitted.
    :param n_timesteps: total agent steps of the run; None keeps the original number.
    :param num_threads: number of PyTorch threads; None keeps the original number. Another number
        may change the rounding of sums, and thus the result.
    :param progress: show a progress bar.
    :return: the model at the end of training.
    :raises CheckpointError: if there is no valid checkpoint, another process trains in the folder,
        training is already finished, or the model or callbacks do not match the checkpoint.
    :raises TypeError: without a model; for a ``progress`` that is not a bool.
    :raises ValueError: for a number out of range.
    """
    if not isinstance(model, BaseAlgorithm):
        raise TypeError(
            f"resume needs the model, created as for the original run, got {model!r}: pass"
            f" resume({os.fspath(path)!r}, DQN(...)). To resume a run of RL Zoo or of"
            f" sb3_atari_course train use `{how_to_resume(Path(path))}`"
        )
    boolean("progress", progress)
    with find_checkpoint(path, n_timesteps=n_timesteps, num_threads=num_threads) as resumption:
        begun = resumption.checkpoint.begun
        if "experiment" in begun:
            raise CheckpointError(
                f"{path} is a run of RL Zoo: resume it with `{how_to_resume(Path(path))}`, which"
                " creates the model from the settings of the run"
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
    """Yield the newest valid checkpoint of a run and lock its folder meanwhile.

    Also sets PyTorch's number of threads.

    :param path: the run folder.
    :param n_timesteps: total agent steps of the run; None keeps the original number.
    :param num_threads: number of PyTorch threads; None keeps the original number.
    :raises CheckpointError: if there is no valid checkpoint, another process trains in the folder,
        or training is already finished.
    :raises ValueError: for a number out of range.
    """
    for name, number in (("num_threads", num_threads), ("n_timesteps", n_timesteps)):
        if number is not None:
            integer_at_least(1, name, number)
    run = Path(path)
    folder = CheckpointFolder(run / FOLDER)
    if not folder.path.is_dir():
        raise CheckpointError(
            f"{run} has no folder {FOLDER}, so there is nothing to resume. To start a new run"
            " from a saved model use rl_zoo3.train -i MODEL.zip"
        )
    release_earlier_lock(folder.path)
    try:
        folder.lock()
    except OSError as error:
        raise CheckpointError(f"{folder.path} is not writable: {error}") from error
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
        print(f"{warning}; resuming from the checkpoint before it", flush=True)
    here = installed_versions()
    changes = [
        f"{name} {version} -> {here.get(name, 'not installed')}"
        for name, version in checkpoint.versions.items()
        if here.get(name) != version
    ]
    if changes:
        print(
            "Package versions differ from those of the checkpoint, so the result may not be"
            f" bit-identical: {', '.join(changes)}"
        )
    n_timesteps = n_timesteps or checkpoint.n_timesteps
    if n_timesteps <= checkpoint.step:
        raise CheckpointError(
            f"{folder.path.parent} is already at step {checkpoint.step:,} of {n_timesteps:,}: to"
            " train longer pass a larger number, -n N or n_timesteps=N"
        )
    return Resumption(folder, checkpoint, folder.read_state(checkpoint), n_timesteps)


def _callbacks(callback: Callbacks | None, every: int, place: int | None) -> list[BaseCallback]:
    """Return the callbacks as a list, including an ``ExactCheckpoint``."""
    given = [callback] if isinstance(callback, BaseCallback) else list(callback or [])
    if not any(isinstance(one, ExactCheckpoint) for one in all_within(given)):
        given.insert(len(given) if place is None else place, ExactCheckpoint(every))
    return given
