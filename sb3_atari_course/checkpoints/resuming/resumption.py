"""What a training needs to know before it goes on from a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_course._common.state_tree import Tree
from sb3_atari_course.checkpoints.callback import ExactCheckpoint
from sb3_atari_course.checkpoints.callback_states import all_within, write_callbacks
from sb3_atari_course.checkpoints.folder import CheckpointFolder
from sb3_atari_course.checkpoints.logs import cut_logs, reopen_logger
from sb3_atari_course.checkpoints.manifest import Checkpoint
from sb3_atari_course.checkpoints.snapshot import check_fits
from sb3_atari_course.checkpoints.training import write_parameters


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

    def prepare(self, model: BaseAlgorithm, callbacks: Sequence[BaseCallback]) -> None:
        """Let callbacks and log go on; the rest is put in its place at the first rollout.

        What was logged after the checkpoint is cut off, once nothing speaks against going on.

        :raises CheckpointError: if model or callbacks are others than the training had.
        """
        check_fits(self.checkpoint, model)
        model.num_timesteps = 0  # learn() adds the steps of a model that has trained to its length
        write_parameters(model, self.tree["training"])
        write_callbacks(callbacks, self.tree["callbacks"])
        run, logs = self.run.resolve(), self.tree["logs"]
        for problem in cut_logs(logs, run, opened=self.folder.noted_files()):
            print(f"{problem}: what is missing is lost, the file goes on", flush=True)
        before = {path for folder in logs["events"] for path in (run / folder).glob("*")}
        model.set_logger(reopen_logger(logs, run))
        after = {path for folder in logs["events"] for path in (run / folder).glob("*")}
        self.folder.note("opened", files=sorted(map(str, after - before)))
        for one in all_within(callbacks):
            if isinstance(one, ExactCheckpoint):
                one.resume_from(self.folder, self.checkpoint)
