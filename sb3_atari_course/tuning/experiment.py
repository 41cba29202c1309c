"""One training as RL Zoo does it from a yml, without its run folder."""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_course.envs import is_atari
from sb3_atari_course.evaluation.protocol import without_rules
from sb3_atari_course.zoo.experiment import CourseExperimentManager


class TrialExperiment(CourseExperimentManager):
    """RL Zoo's experiment for a trial: the model that a yml describes, and nothing on the disk.

    :param yml: the file; None for what our launcher would read.
    :param n_timesteps: agent steps; 0 for what the yml says.
    """

    def __init__(
        self,
        algo: str,
        env_id: str,
        yml: str | Path | None,
        *,
        n_timesteps: int = 0,
        seed: int = 0,
        device: str = "auto",
        env_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            argparse.Namespace(),
            algo,
            env_id,
            "",  # no log folder
            n_timesteps=n_timesteps,
            eval_freq=-1,
            config=str(yml) if yml else None,
            env_kwargs=env_kwargs,
            seed=seed,
            device=device,
            verbose=0,
        )

    def entry(self) -> dict[str, Any]:
        """Return the entry of the yml for this environment, as plain values."""
        with contextlib.redirect_stdout(io.StringIO()):
            return dict(self.read_hyperparameters()[0])

    def build(self) -> BaseAlgorithm:
        """Return the model with its environments."""
        with contextlib.redirect_stdout(io.StringIO()):
            built = self.setup_experiment()
        assert built is not None
        model: BaseAlgorithm = built[0]
        return model

    def learn(self, model: BaseAlgorithm, *more_callbacks: BaseCallback) -> None:
        """Train, with the callbacks of the yml and these; close the environments."""
        try:
            model.learn(self.n_timesteps, callback=[*self.callbacks, *more_callbacks])
        finally:
            if model.env is not None:
                model.env.close()

    def game_settings(self) -> dict[str, Any]:
        """Return what ``evaluate_games`` needs to show the model what it was trained on."""
        colours = {"obs_type": "rgb"} if is_atari(self.env_name.gym_id) else {}
        wrap: Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]] = self.env_wrapper or _unwrapped
        return {"env_wrapper": wrap, "env_kwargs": {**colours, **without_rules(self.env_kwargs)}}

    def create_log_folder(self) -> None:
        """Make none."""

    def create_callbacks(self) -> None:
        """Leave those of the yml; trials are scored by our own."""

    def create_envs(self, n_envs: int, eval_env: bool = False, no_log: bool = False) -> VecEnv:
        """Create the environments, without monitor files."""
        return super().create_envs(n_envs, eval_env, no_log=True)

    def _save_config(self, saved_hyperparams: dict[str, Any]) -> None:
        """Save nothing: the yml is there already."""


def _unwrapped(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return env
