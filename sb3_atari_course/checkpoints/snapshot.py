"""Snapshot of a run as plain data: model, environments, callbacks, log files.

It is taken between two rollouts and restored into a run created with the same settings.

Attributes of a callback are saved if they are plain data. A callback with other state implements
``checkpoint_state()``, which returns plain data, and ``restore_checkpoint_state(state)``.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import torch as th
from sb3_contrib import QRDQN
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    EvalCallback,
    ProgressBarCallback,
)
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course._common.state_tree import Tree, is_plain
from sb3_atari_course.callbacks import Callbacks, WholeGames, all_within
from sb3_atari_course.checkpoints.folder import (
    Checkpoint,
    CheckpointFolder,
    Segment,
    installed_versions,
)
from sb3_atari_course.checkpoints.log_files import read_logs
from sb3_atari_course.envs.env_state import read_generator, write_generator
from sb3_atari_course.envs.vec_env_state import (
    read_vec_env,
    unsaved_envs,
    write_vec_env,
)
from sb3_atari_course.q_learning import QLearning
from sb3_atari_course.replay.segments import (
    RowMark,
    buffer_settings,
    check_buffer_settings,
    end_episodes,
    pack_rows,
    restore_rows,
)

#: Supported algorithms (FastDQN is a subclass of DQN).
SUPPORTED = (DQN, QRDQN, QLearning)

#: Attributes that change during training, apart from weights and arrays; missing are skipped.
_COUNTERS = (
    "num_timesteps",
    "_num_timesteps_at_start",
    "_total_timesteps",
    "_current_progress_remaining",
    "_episode_num",
    "_n_updates",
    "_n_updates_at_start",
    "_n_calls",
    "exploration_rate",
    "sum_td_error",
    "n_updates_logged",
    "ep_info_buffer",
    "ep_success_buffer",
    "_last_episode_starts",
)

#: Attributes of a callback that do not belong to the state of training.
_NOT_SAVED = ("model", "parent", "locals", "globals", "verbose")
#: Callbacks of SB3 without state; others have the attribute ``is_stateless``.
_STATELESS = (CallbackList, ProgressBarCallback)


class Snapshots:
    """Incremental snapshots of one run, taken between its rollouts.

    :param folder: the checkpoint folder, locked by this process.
    :param run: the run folder, with the log files.
    """

    def __init__(self, folder: CheckpointFolder, run: Path) -> None:
        self.folder, self.run = folder, run.resolve()
        self._mark: RowMark | None = None
        self._at_mark = 0  # agent steps
        self._n_rows = 0
        self._segments: tuple[Segment, ...] = ()
        self._begun: dict[str, Any] = {}

    def begin(self, model: BaseAlgorithm, begun: dict[str, Any]) -> None:
        """Start with a run that has no checkpoints yet.

        :param model: the model.
        :param begun: settings of the run, stored in each checkpoint.
        :raises TypeError: for an unsupported replay buffer.
        """
        self._begun = begun
        self._remember(model, model.num_timesteps, 0, ())

    def take(
        self, model: BaseAlgorithm, callback: BaseCallback, *, n_timesteps: int, finished: bool
    ) -> Checkpoint:
        """Write a checkpoint, which becomes valid with its last file.

        :param model: the model.
        :param callback: the outermost callback of the run.
        :param n_timesteps: total agent steps of the run.
        :param finished: whether training is finished.
        :raises NotPlainError: if part of the state is not plain data.
        :raises OSError: if writing fails, for example because the disk is full.
        """
        assert model.env is not None
        evaluations = evaluation_envs(callback)
        tree = {
            "training": read_training(model),
            "env": read_vec_env(model.env),
            "evaluation_envs": [read_vec_env(env) for env in evaluations],
            "callbacks": read_callbacks(callback),
            "logs": read_logs(model, all_within(callback), [model.env, *evaluations], self.run),
        }
        segments, n_rows = self._write_new_rows(model)
        checkpoint = Checkpoint(
            model.num_timesteps,
            n_timesteps,
            finished,
            training_facts(model),
            n_rows=n_rows,
            segments=segments,
            versions=installed_versions(),
            begun=self._begun,
        )
        self.folder.write(checkpoint, tree)
        self._remember(model, checkpoint.step, n_rows, segments)
        return checkpoint

    def restore(
        self, checkpoint: Checkpoint, model: BaseAlgorithm, callback: BaseCallback
    ) -> dict[str, str]:
        """Restore a checkpoint into a run that has just started.

        :param checkpoint: the header of the checkpoint.
        :param model: the model.
        :param callback: the outermost callback of the run.
        :return: environments that start a new episode -> reason.
        :raises CheckpointError: if the checkpoint is one of another run.
        """
        check_facts(model, checkpoint.facts)
        self._begun = checkpoint.begun
        assert model.env is not None
        tree = self.folder.read_state(checkpoint)
        envs = {"training": (model.env, tree["env"])}
        others = evaluation_envs(callback)
        if len(others) != len(tree["evaluation_envs"]):
            raise CheckpointError(
                f"the training had {len(tree['evaluation_envs'])} evaluation environments, here"
                f" there are {len(others)}: pass the same callbacks"
            )
        for i, pair in enumerate(zip(others, tree["evaluation_envs"], strict=True)):
            envs[f"evaluation {i + 1}"] = pair
        # episodes that start over must not repeat those of the original seed
        sequence = np.random.SeedSequence([model.seed or 0, checkpoint.step])
        seed = int(sequence.generate_state(1)[0]) % 2**31
        new = {name: write_vec_env(*pair, fresh_seed=seed) for name, pair in envs.items()}
        buffer = _buffer_of(model)
        if buffer is not None:
            read = self.folder.read_segment
            segments = ((one.first, one.end, read(one)) for one in checkpoint.segments)
            restore_rows(buffer, segments, n_written=checkpoint.n_rows)
        write_callbacks(callback, tree["callbacks"])
        write_training(model, tree["training"])
        if new["training"] is not None:
            _start_episodes(model, callback, new["training"])
        self._remember(model, checkpoint.step, checkpoint.n_rows, checkpoint.segments)
        return {
            f"environment {i} of the {name}": reason
            for name, (_, state) in envs.items()
            for i, reason in unsaved_envs(state).items()
        }

    def _write_new_rows(self, model: BaseAlgorithm) -> tuple[tuple[Segment, ...], int]:
        """Write new rows of the replay buffer; return all current segments and the row count."""
        buffer = _buffer_of(model)
        if buffer is None:
            return (), 0
        assert self._mark is not None
        n_steps = (model.num_timesteps - self._at_mark) // model.n_envs
        new = self._mark.rows_since(buffer, n_steps=n_steps)
        oldest = new.end - buffer.buffer_size
        before = () if new.starts_over else self._segments
        segments = tuple(one for one in before if one.end > oldest)
        if new.end > (0 if new.starts_over else self._n_rows):
            rows = pack_rows(buffer, new.first, new.end)
            segments += (self.folder.write_segment(model.num_timesteps, new.first, new.end, rows),)
        return segments, new.end

    def _remember(
        self, model: BaseAlgorithm, step: int, n_rows: int, segments: tuple[Segment, ...]
    ) -> None:
        """Store the position up to which rows are written."""
        buffer = _buffer_of(model)
        if buffer is not None:
            self._mark = RowMark(buffer, n_written=n_rows)
        self._at_mark, self._n_rows, self._segments = step, n_rows, segments


def check_supported(model: BaseAlgorithm) -> None:
    """Raise an error for an unsupported algorithm.

    :raises TypeError: for algorithms other than DQN, QRDQN, FastDQN and QLearning.
    """
    if not isinstance(model, SUPPORTED):
        raise TypeError(
            "exact checkpoints support DQN, QRDQN, FastDQN and QLearning, got"
            f" {type(model).__name__}: use SB3's CheckpointCallback instead"
        )


def training_facts(model: BaseAlgorithm) -> dict[str, Any]:
    """Return the properties that a model must share with a checkpoint to continue from it."""
    assert model.env is not None
    try:
        (spec,) = model.env.get_attr("spec", 0)
    except AttributeError:
        spec = None
    facts: dict[str, Any] = {
        "algorithm": f"{type(model).__module__}.{type(model).__qualname__}",
        "observations": str(model.observation_space),
        "actions": str(model.action_space),
        "n_envs": model.n_envs,
        "env": None if spec is None else str(spec.id),
    }
    if isinstance(model, OffPolicyAlgorithm):
        facts["replay_buffer"] = type(model.replay_buffer).__qualname__
    buffer = _buffer_of(model)
    if buffer is not None:
        facts["buffer"] = buffer_settings(buffer)
    return facts


def check_facts(model: BaseAlgorithm, facts: dict[str, Any]) -> None:
    """Check that a model matches the checkpoint, as far as possible before training starts.

    :raises CheckpointError: if a property differs.
    """
    buffer = _buffer_of(model)
    for name, here in training_facts(model).items():
        if name == "buffer" and buffer is not None:
            check_buffer_settings(buffer, facts.get(name) or {})
        elif facts.get(name) != here:
            raise CheckpointError(
                f"the checkpoint is from another training: {name} was {facts.get(name)}, here it is"
                f" {here}. Create model and environment as for the original run"
            )


def read_training(model: BaseAlgorithm) -> Tree:
    """Return the state of training without the replay buffer and the environments."""
    own = vars(model)
    state = {
        "parameters": model.get_parameters(),
        "counters": {name: own[name] for name in _COUNTERS if name in own},
        "seconds": (time.time_ns() - model.start_time) / 1e9,
        "last_obs": model._last_obs,
        "last_original_obs": model._last_original_obs,
        "streams": read_global_streams(),
        "actions": read_generator(model.action_space.np_random),
        "log": _read_pending(model),
        "threads": th.get_num_threads(),
    }
    if isinstance(model, QLearning):
        state["own_stream"] = read_generator(model._rng)
    return state


def write_training(model: BaseAlgorithm, state: Tree) -> None:
    """Restore the state from :func:`read_training`.

    :raises CheckpointError: if the weights do not fit.
    """
    write_parameters(model, state)
    for name, value in state["counters"].items():
        setattr(model, name, value)
    model.start_time = time.time_ns() - int(state["seconds"] * 1e9)
    model._last_obs = state["last_obs"]
    model._last_original_obs = state["last_original_obs"]
    write_generator(model.action_space.np_random, state["actions"])
    if isinstance(model, QLearning):
        write_generator(model._rng, state["own_stream"])
    _write_pending(model, state["log"])
    write_global_streams(state["streams"])  # last, because the code above may use the generators


def write_parameters(model: BaseAlgorithm, state: Tree) -> None:
    """Load weights and optimizer state into a model.

    :raises CheckpointError: if they do not fit.
    """
    try:
        model.set_parameters(state["parameters"], exact_match=True, device=model.device)
    except (ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            "the weights of the checkpoint do not fit the model: use the same policy and"
            f" policy_kwargs. {shorten(str(error), 200)}"
        ) from None


def read_global_streams() -> Tree:
    """Return the states of the global random generators of Python, NumPy and PyTorch."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002  # used by SB3
        "torch": th.get_rng_state(),
        "cuda": th.cuda.get_rng_state_all() if th.cuda.is_available() else [],
    }


def write_global_streams(state: dict[str, Any]) -> None:
    """Restore the global random generators, skipping those of missing GPUs."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    th.set_rng_state(state["torch"])
    for i, stream in enumerate(state["cuda"][: th.cuda.device_count()]):
        th.cuda.set_rng_state(stream, i)


def evaluation_envs(callback: Callbacks) -> list[VecEnv]:
    """Return the environments of all evaluation callbacks."""
    return [one.eval_env for one in all_within(callback) if isinstance(one, EvalCallback)]


def read_callbacks(callback: Callbacks) -> Tree:
    """Return the states of callbacks, including nested ones."""
    return [{"kind": _kind(one), "state": _read_callback(one)} for one in _with_state(callback)]


def write_callbacks(callback: Callbacks, states: Tree) -> None:
    """Restore the states of callbacks that were created in the same way.

    :raises CheckpointError: if the callbacks differ; nothing is changed then.
    """
    callbacks = list(_with_state(callback))
    here, saved = [_kind(one) for one in callbacks], [state["kind"] for state in states]
    if here != saved:
        raise CheckpointError(
            f"the training had the callbacks {_names(saved)}, here they are {_names(here)}: pass"
            " the same ones, in the same order"
        )
    for one, state in zip(callbacks, states, strict=True):
        _write_callback(one, state["state"])


def _with_state(callback: Callbacks) -> Iterator[BaseCallback]:
    """Yield the callbacks with state; those without may be added or removed on resume."""
    for one in all_within(callback):
        if not (isinstance(one, _STATELESS) or getattr(one, "is_stateless", False)):
            yield one


def _read_callback(callback: Any) -> Tree:
    if hasattr(callback, "checkpoint_state"):
        return {"own": callback.checkpoint_state(), "n_calls": callback.n_calls}
    return {name: value for name, value in vars(callback).items() if _is_state(name, value)}


def _write_callback(callback: Any, state: Tree) -> None:
    if hasattr(callback, "restore_checkpoint_state"):
        callback.restore_checkpoint_state(state["own"])
        callback.n_calls = state["n_calls"]
        return
    for name, value in state.items():
        here = vars(callback).get(name)
        if isinstance(value, dict) and isinstance(here, dict):  # keeps subclasses such as Counter
            here.clear()
            here.update(value)
        elif isinstance(value, tuple) and hasattr(here, "_make"):  # namedtuple
            setattr(callback, name, here._make(value))
        elif value is not None or is_plain(here):
            setattr(callback, name, value)


def _is_state(name: str, value: Any) -> bool:
    """Return whether an attribute is state that changes in training; paths are settings."""
    is_path = isinstance(value, str) and ("/" in value or os.sep in value)
    return name not in _NOT_SAVED and not is_path and is_plain(value)


def _kind(callback: BaseCallback) -> str:
    return f"{type(callback).__module__}.{type(callback).__qualname__}"


def _names(kinds: list[str]) -> str:
    return ", ".join(kind.rpartition(".")[2] for kind in kinds) or "none"


def _buffer_of(model: BaseAlgorithm) -> ReplayBuffer | None:
    buffer: ReplayBuffer | None = getattr(model, "replay_buffer", None)
    return buffer


def _read_pending(model: BaseAlgorithm) -> Tree:
    """Return the logger values recorded since the last dump, without figures and videos."""
    logger = model.logger
    names = [name for name, value in logger.name_to_value.items() if is_plain(value)]
    return {
        name: [logger.name_to_value[name], logger.name_to_count[name], excluded]
        for name in names
        for excluded in [logger.name_to_excluded.get(name)]
        if is_plain(excluded)
    }


def _write_pending(model: BaseAlgorithm, pending: dict[str, list[Any]]) -> None:
    logger = model.logger
    for table in (logger.name_to_value, logger.name_to_count, logger.name_to_excluded):
        table.clear()
    for name, (value, count, excluded) in pending.items():
        logger.name_to_value[name] = value
        logger.name_to_count[name] = count
        if excluded is not None:
            logger.name_to_excluded[name] = excluded


def _start_episodes(model: BaseAlgorithm, callback: Callbacks, observations: Any) -> None:
    """Start new episodes in all environments, for the model, its replay buffer and callbacks."""
    model._last_obs = observations
    if model._vec_normalize_env is not None:  # replay buffers store unnormalized observations
        model._last_original_obs = model._vec_normalize_env.get_original_obs()
    if model._last_episode_starts is not None:
        model._last_episode_starts[:] = True
    envs = list(range(model.n_envs))
    for one in all_within(callback):
        for value in vars(one).values():
            if isinstance(value, WholeGames):
                value.begin_again(envs)
    buffer = _buffer_of(model)
    if buffer is not None:
        end_episodes(buffer, envs)
