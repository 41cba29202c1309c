"""What a training needs to know before it goes on from a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_course.checkpoints.callback import ExactCheckpoint
from sb3_atari_course.checkpoints.callback_states import write_callbacks
from sb3_atari_course.checkpoints.folder import Checkpoint, CheckpointFolder
from sb3_atari_course.checkpoints.logs import cut_logs, reopen_logger
from sb3_atari_course.checkpoints.tree import Tree


@dataclass(frozen=True)
class Resumption:
    """A checkpoint that a training is about to go on from.

    :param folder: locked for this process.
    :param tree: all but the replay memory.
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

    def cut_logs(self) -> None:
        """Cut off what was logged after the checkpoint, before anybody opens the files."""
        cut_logs(self.tree["logs"], self.run.resolve())

    def prepare(self, model: BaseAlgorithm, callbacks: Sequence[BaseCallback]) -> None:
        """Let callbacks and log go on; the rest is put in its place at the first rollout."""
        write_callbacks(callbacks, self.tree["callbacks"])
        model.set_logger(reopen_logger(self.tree["logs"], self.run.resolve()))
        for one in callbacks:
            if isinstance(one, ExactCheckpoint):
                one.resume_from(self.folder, self.checkpoint)
