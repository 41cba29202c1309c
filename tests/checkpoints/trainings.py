"""Small real trainings, in peace and cut off, for the tests of checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sb3_contrib import QRDQN
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

from benchmarks.run_differences import other_numbers, weights_and_optimizer
from sb3_atari_course import (
    AtariCnnPolicy,
    AtariQuantileCnnPolicy,
    ExactCheckpoint,
    FastDQN,
    FrameReplayBuffer,
    QLearning,
    make_atari_env,
)

GAME = "BreakoutNoFrameskip-v4"
#: Agent steps: of a training, between two checkpoints, and after which it is cut off.
STEPS, EVERY, CUT = 400, 90, 300


class CutError(Exception):
    """A training ends in the middle, as by an error of somebody's callback."""


class CutOff(BaseCallback):
    """Raises :class:`CutError` at some step."""

    is_stateless = True

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.step:
            raise CutError
        return True


def breakout(folder: Path | None, n_envs: int = 1, **kwargs: Any) -> VecEnv:
    """Return small games of Breakout that end soon."""
    settings: dict[str, Any] = {
        "seed": 5,
        "env_kwargs": {"max_num_frames_per_episode": 260},
        "wrapper_kwargs": {"shape": (36, 36), "noop_max": 10},
        "monitor_dir": None if folder is None else str(folder),
    }
    return make_atari_env(GAME, n_envs, **{**settings, **kwargs})


def deep(algorithm: type[BaseAlgorithm], env: VecEnv, **kwargs: Any) -> BaseAlgorithm:
    """Return an agent with a small network that learns from its 40th step on."""
    policy: Any = AtariQuantileCnnPolicy if algorithm is QRDQN else AtariCnnPolicy
    settings: dict[str, Any] = {
        "policy_kwargs": {
            "features_extractor_kwargs": {"layers": ((4, 8, 4), (4, 3, 2)), "features_dim": 16}
        },
        "replay_buffer_class": FrameReplayBuffer,
        "replay_buffer_kwargs": {"compression": "lz4", "n_steps": 2},
        "buffer_size": 150,
        "learning_starts": 40,
        "batch_size": 8,
        "train_freq": 2,
        "target_update_interval": 60,
        "exploration_fraction": 0.8,
        "seed": 3,
        "device": "cpu",
    }
    return algorithm(policy, env, **{**settings, **kwargs})  # type: ignore[call-arg]


def table(env: VecEnv) -> BaseAlgorithm:
    """Return a table that learns."""
    return QLearning("QTablePolicy", env, exploration=0.3, learning_rate="visits", seed=3)


def build(kind: str, folder: Path, *, again: bool = False) -> BaseAlgorithm:
    """Return a training of one of the four algorithms.

    :param again: go on with its Monitor files; the seeds of its environments are others.
    """
    monitor = {"monitor_dir": str(folder), "monitor_kwargs": {"override_existing": not again}}
    seed = 99 if again else 4
    if kind == "QLearning":
        return table(make_vec_env("Taxi-v4", 2, seed=seed, **monitor))
    algorithms: dict[str, Any] = {"DQN": DQN, "QRDQN": QRDQN, "FastDQN": FastDQN}
    return deep(algorithms[kind], breakout(folder, seed=seed, **monitor))


def beside(kind: str, folder: Path) -> list[BaseCallback]:
    """Return the evaluation beside a training, whose games go on from one time to the next."""
    env: Any = breakout(None, seed=8) if kind != "QLearning" else make_vec_env("Taxi-v4", seed=8)
    return [
        EvalCallback(
            env,
            n_eval_episodes=1,
            eval_freq=120,
            log_path=str(folder),
            best_model_save_path=str(folder),
            deterministic=kind == "QLearning",
            verbose=0,
        )
    ]


def train(kind: str, folder: Path, *, cut: int | None = None, steps: int = STEPS) -> None:
    """Train until it is cut off, or to the end, with a checkpoint there and none before."""
    model = build(kind, folder)
    callbacks = [
        *beside(kind, folder),
        ExactCheckpoint(EVERY if cut else 10 * steps, folder=folder),
    ]
    assert model.env is not None
    try:
        model.learn(steps, callback=callbacks + ([CutOff(cut)] if cut else []), log_interval=1)
        assert cut is None, "it should have been cut off"
    except CutError:
        pass
    finally:
        model.env.close()


def assert_same_end(a: Path, b: Path) -> None:
    """Assert that two trainings have ended alike, to the bit."""
    for read in (weights_and_optimizer, other_numbers):
        ones, others = read(a), read(b)
        assert list(ones) == list(others)
        for place, one in ones.items():
            assert np.array_equal(one, others[place], equal_nan=False), place
