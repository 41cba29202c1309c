"""Short DQN trainings on CartPole, with Monitor files and checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

from benchmarks.run_differences import count_differing_bytes, differing_rows, replay_buffer_arrays
from sb3_atari_course.checkpoints import ExactCheckpoint, resume
from tests.checkpoints.trainings import Interrupt, InterruptError, assert_same_end

#: Agent steps: of a training, between two checkpoints, and until it is interrupted.
STEPS, EVERY, INTERRUPT_AT = 200, 40, 150


def cartpole(
    folder: Path | None,
    *,
    again: bool = False,
    env_id: str = "CartPole-v1",
    **kwargs: Any,
) -> VecEnv:
    """Return CartPole with a Monitor file in a folder.

    :param again: continue that file.
    """
    return make_vec_env(
        env_id,
        **{"n_envs": 1, "seed": 4, **kwargs},
        monitor_dir=None if folder is None else str(folder),
        monitor_kwargs={"override_existing": not again} if folder is not None else {},
    )


def dqn(env: VecEnv, **kwargs: Any) -> DQN:
    """Return a small DQN with ``learning_starts=20``."""
    settings: dict[str, Any] = {
        "policy_kwargs": {"net_arch": [8]},
        "buffer_size": 90,
        "learning_starts": 20,
        "batch_size": 8,
        "target_update_interval": 30,
        "exploration_fraction": 0.8,
        "seed": 3,
        "device": "cpu",
    }
    return DQN("MlpPolicy", env, **{**settings, **kwargs})


def learn(
    folder: Path,
    *others: BaseCallback,
    model: BaseAlgorithm | None = None,
    interrupt_at: int | None = None,
    steps: int = STEPS,
    every: int = EVERY,
    **kwargs: Any,
) -> BaseAlgorithm:
    """Train with checkpoints, to the end or until interrupted, then close all files."""
    model = dqn(cartpole(folder)) if model is None else model
    exact = ExactCheckpoint(every, folder=folder)
    interrupts = [Interrupt(interrupt_at)] if interrupt_at else []
    try:
        model.learn(steps, [*others, exact, *interrupts], **kwargs)
        assert interrupt_at is None, "the training should have been interrupted"
    except InterruptError:
        exact.release()  # as at the end of a process
    finally:
        close(model)
    return model


def learn_twice(
    folder: Path,
    build: Callable[[Path], BaseAlgorithm] = lambda run: dqn(cartpole(run)),
    other_callbacks: Callable[[Path], list[BaseCallback]] = lambda run: [],
    **kwargs: Any,
) -> tuple[Path, Path]:
    """Train to the end, and again until interrupted; return both run folders."""
    runs = folder / "uninterrupted", folder / "run"
    for run, step in zip(runs, (None, INTERRUPT_AT), strict=True):
        learn(run, *other_callbacks(run), model=build(run), interrupt_at=step, **kwargs)
    return runs


def resume_run(
    folder: Path, env: VecEnv | None = None, *, model: BaseAlgorithm | None = None, **kwargs: Any
) -> BaseAlgorithm:
    """Resume with a model, or with a new one in an environment, then close all files."""
    if model is None:
        model = dqn(cartpole(folder, again=True, seed=99) if env is None else env)
    try:
        resume(folder, model, **kwargs).logger.close()
    finally:
        assert model.env is not None
        model.env.close()
    return model


def close(model: BaseAlgorithm) -> None:
    """Close the log files and environments of a training."""
    if hasattr(model, "_logger"):
        model.logger.close()
    assert model.env is not None
    model.env.close()


def assert_same_training(a: Path, b: Path) -> None:
    """Assert that two trainings ended bit-identically, including replay buffer and episodes."""
    assert_same_end(a, b)
    assert_same_games(a, b)
    env = cartpole(None)
    buffers = [replay_buffer_arrays(run, dqn(env).replay_buffer) for run in (a, b)]
    env.close()
    n_arrays = 0
    for one, other in zip(*buffers, strict=True):
        assert count_differing_bytes(one, other) == 0
        n_arrays += 1
    assert n_arrays == 90 * 6  # the buffer is full


def assert_same_games(a: Path, b: Path) -> None:
    """Assert that the same episodes were played, more than one."""
    assert differing_rows(a, b, "*.monitor.csv") == 0
    assert len((a / "0.monitor.csv").read_text().splitlines()) > 4


def arrays_of(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays of ``evaluations.npz``."""
    with np.load(folder / "evaluations.npz") as file:
        return dict(file)
