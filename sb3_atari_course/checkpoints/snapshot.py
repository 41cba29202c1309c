"""A whole training at one moment: taken into a folder of checkpoints, and put back from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course._common.state_tree import Tree
from sb3_atari_course.checkpoints.callback_states import (
    begin_games,
    evaluation_envs,
    read_callbacks,
    write_callbacks,
)
from sb3_atari_course.checkpoints.folder import CheckpointFolder
from sb3_atari_course.checkpoints.logs import read_logs
from sb3_atari_course.checkpoints.manifest import Checkpoint, Segment
from sb3_atari_course.checkpoints.memory.segments import (
    MemorySegmentError,
    RowMark,
    check_memory_settings,
    end_episodes,
    memory_settings,
    pack_rows,
    restore_rows,
)
from sb3_atari_course.checkpoints.training import (
    begin_episodes,
    check_facts,
    read_training,
    training_facts,
    write_training,
)
from sb3_atari_course.checkpoints.versions import installed_versions
from sb3_atari_course.envs.state.vec_env_state import (
    read_vec_env,
    unsaved_envs,
    write_vec_env,
)


class Snapshots:
    """Takes snapshots of one training between its rollouts, each with what is new since the last.

    :param folder: locked for this process.
    :param run: the run folder, with the log files.
    """

    def __init__(self, folder: CheckpointFolder, run: Path) -> None:
        self.folder, self.run = folder, run.resolve()
        self._mark: RowMark | None = None
        self._at_mark = 0  # agent steps
        self._n_rows = 0
        self._segments: tuple[Segment, ...] = ()

    def begin(self, model: BaseAlgorithm) -> None:
        """Begin with a training of which nothing is written yet.

        :raises UnknownMemoryError: for a replay buffer that a checkpoint cannot hold.
        """
        buffer = _buffer_of(model)
        if buffer is not None:
            self._mark = RowMark(buffer, n_written=0)
            self._at_mark, self._n_rows, self._segments = model.num_timesteps, 0, ()

    def take(
        self, model: BaseAlgorithm, callback: BaseCallback, *, n_timesteps: int, finished: bool
    ) -> Checkpoint:
        """Write a checkpoint; until its last file is there, the one before it counts.

        :param callback: the outermost one of the training.
        :param n_timesteps: steps after which the training is finished.
        :raises NotPlainError: if something cannot be written down; nothing was written.
        :raises OSError: if the disk is full, say.
        """
        assert model.env is not None
        step, facts = model.num_timesteps, training_facts(model)
        tree = {
            "training": read_training(model),
            "env": read_vec_env(model.env),
            "evaluation_envs": [read_vec_env(env) for env in evaluation_envs(callback)],
            "callbacks": read_callbacks(callback),
            "logs": read_logs(model, callback, self.run),
        }
        state = self.folder.write_state(step, tree)
        segments, n_rows = self._write_new_rows(model)
        buffer = _buffer_of(model)
        if buffer is not None:
            facts["memory"] = memory_settings(buffer)
        checkpoint = Checkpoint(
            step,
            n_timesteps,
            finished,
            facts,
            state,
            n_rows=n_rows,
            segments=segments,
            versions=installed_versions(),
        )
        self.folder.write(checkpoint)
        self._remember(model, checkpoint)
        return checkpoint

    def put_back(
        self, checkpoint: Checkpoint, model: BaseAlgorithm, callback: BaseCallback
    ) -> dict[str, str]:
        """Let a training that has just begun go on from a checkpoint.

        :param callback: the outermost one of the training.
        :return: environments that begin a new episode, and why.
        :raises CheckpointError: if it is one of another training.
        """
        check_fits(checkpoint, model)
        assert model.env is not None
        tree = self.folder.read_state(checkpoint)
        envs = {"training": (model.env, tree["env"])}
        others = evaluation_envs(callback)
        if len(others) != len(tree["evaluation_envs"]):
            raise CheckpointError("the training had other evaluations: pass the same callbacks")
        for i, pair in enumerate(zip(others, tree["evaluation_envs"], strict=True)):
            envs[f"evaluation {i + 1}"] = pair
        seed = _fresh_seed(model, checkpoint.step)
        new = {name: write_vec_env(*pair, fresh_seed=seed) for name, pair in envs.items()}
        self._put_back_memory(checkpoint, model)
        write_callbacks(callback, tree["callbacks"])
        write_training(model, tree["training"])
        episodes = new["training"]
        if episodes is not None:
            begun = np.flatnonzero(episodes.begun).tolist()
            begin_episodes(model, episodes)
            begin_games(callback, begun)
            buffer = _buffer_of(model)
            if buffer is not None:
                end_episodes(buffer, begun)
        self._remember(model, checkpoint)
        return {
            f"environment {i} of the {name}": reason
            for name, (_, state) in envs.items()
            for i, reason in unsaved_envs(state).items()
        }

    def _write_new_rows(self, model: BaseAlgorithm) -> tuple[tuple[Segment, ...], int]:
        """Write what is new in the replay memory; return all segments that count, and all rows."""
        buffer = _buffer_of(model)
        if buffer is None:
            return (), 0
        assert self._mark is not None
        n_steps = (model.num_timesteps - self._at_mark) // model.n_envs
        new = self._mark.rows_since(buffer, n_steps=n_steps)
        oldest = new.end - buffer.buffer_size
        before = () if new.starts_anew else self._segments
        segments = tuple(one for one in before if one.end > oldest)
        if new.end > (0 if new.starts_anew else self._n_rows):
            rows = pack_rows(buffer, new.first, new.end)
            segments += (self.folder.write_segment(model.num_timesteps, new.first, new.end, rows),)
        return segments, new.end

    def _put_back_memory(self, checkpoint: Checkpoint, model: BaseAlgorithm) -> None:
        buffer = _buffer_of(model)
        if buffer is None:
            return

        def segments() -> Iterator[tuple[int, int, Tree]]:
            for one in checkpoint.segments:
                yield one.first, one.end, self.folder.read_segment(one)

        restore_rows(buffer, segments(), n_written=checkpoint.n_rows)

    def _remember(self, model: BaseAlgorithm, checkpoint: Checkpoint) -> None:
        """Know from now on what is written."""
        buffer = _buffer_of(model)
        if buffer is not None:
            self._mark = RowMark(buffer, n_written=checkpoint.n_rows)
        self._at_mark, self._n_rows = checkpoint.step, checkpoint.n_rows
        self._segments = checkpoint.segments


def check_fits(checkpoint: Checkpoint, model: BaseAlgorithm) -> None:
    """Refuse a checkpoint of another training, as far as can be told before one begins.

    :raises CheckpointError: with what differs.
    """
    check_facts(model, checkpoint.facts)
    buffer = _buffer_of(model)
    if buffer is None:
        return
    try:
        check_memory_settings(buffer, checkpoint.facts["memory"])
    except MemorySegmentError as error:
        raise CheckpointError(f"{error}: build the model as the first time") from error


def _buffer_of(model: BaseAlgorithm) -> ReplayBuffer | None:
    buffer: ReplayBuffer | None = getattr(model, "replay_buffer", None)
    return buffer


def _fresh_seed(model: BaseAlgorithm, step: int) -> int:
    """Return a seed for games that begin anew: not those with which the training began."""
    sequence = np.random.SeedSequence([model.seed or 0, step])
    return int(sequence.generate_state(1)[0]) % 2**31
