"""A training of RL Zoo, or of our launcher, built again from what was written down."""

from __future__ import annotations

import argparse
import importlib
from collections import OrderedDict
from copy import deepcopy
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch as th
from rl_zoo3.exp_manager import ExperimentManager
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course.checkpoints.resuming import Resumption
from sb3_atari_course.checkpoints.run_settings import from_json
from sb3_atari_course.envs import register_envs
from sb3_atari_course.zoo.algorithms import register_algorithms
from sb3_atari_course.zoo.run_folder import read_yml


def resume_experiment(description: dict[str, Any], resumption: Resumption) -> BaseAlgorithm:
    """Build the experiment of a run, resume it in the same folder, and return its model.

    :param description: of ``run.json``.
    :raises CheckpointError: if an environment, for example, is not there any more.
    """
    experiment = _build(description, resumption)
    results = experiment.setup_experiment()
    assert results is not None
    model: BaseAlgorithm = results[0]
    experiment.learn(model)
    experiment.save_trained_model(model)
    return model


def _build(description: dict[str, Any], resumption: Resumption) -> Any:
    given = argparse.Namespace(**from_json(description["arguments"]))
    for module in given.gym_packages:
        importlib.import_module(module)
    register_envs()
    register_algorithms()
    if description["native"]:
        importlib.import_module("sb3_atari_course.native_zoo")
    if given.env not in gym.registry:
        raise CheckpointError(f"the environment {given.env} is not registered any more")
    th.set_num_threads(description["threads"])
    base = from_json(description["experiment"])
    parents = (_Resumed,) if base is ExperimentManager else (base, _Resumed)
    experiment: Any = type(f"Resumed{base.__name__}", parents, {})(
        given,
        given.algo,
        given.env,
        given.log_folder,
        tensorboard_log=given.tensorboard_log,
        eval_freq=given.eval_freq,
        n_eval_episodes=given.eval_episodes,
        save_freq=given.save_freq,
        hyperparams=given.hyperparams,
        env_kwargs=given.env_kwargs,
        eval_env_kwargs=given.eval_env_kwargs,
        trained_agent=given.trained_agent,
        storage=given.storage,
        study_name=given.study_name,
        trial_id=given.trial_id,
        truncate_last_trajectory=given.truncate_last_trajectory,
        seed=given.seed,
        log_interval=given.log_interval,
        save_replay_buffer=given.save_replay_buffer,
        verbose=given.verbose,
        vec_env_type=given.vec_env,
        n_eval_envs=given.n_eval_envs,
        device=given.device,
        config=given.conf_file,
        show_progress=given.progress,
    )
    experiment.checkpoint_freq = description["every"]
    experiment.go_on(resumption)
    return experiment


class _Resumed(ExperimentManager):
    """What differs from an experiment that begins: its folder, its settings, its files."""

    def go_on(self, resumption: Resumption) -> None:
        """Continue in a run folder."""
        self.resumption = resumption
        self.save_path = str(resumption.run)
        self.params_path = str(resumption.run / self.env_name)
        self.n_timesteps = resumption.n_timesteps

    def read_hyperparameters(self) -> Any:
        """Return the settings with which the training was begun, which RL Zoo has noted."""
        config = Path(self.params_path) / "config.yml"
        if "python/name" in config.read_text(encoding="utf-8"):  # of a Python file, read again
            return super().read_hyperparameters()
        noted = read_yml(config)
        settings = deepcopy(noted)
        if settings.get("env_kwargs") and self.env_kwargs and self._eval_env_kwargs_args is None:
            self.eval_env_kwargs = settings["env_kwargs"]  # as RL Zoo does
        return settings, OrderedDict(noted)

    def learn(self, model: BaseAlgorithm) -> None:
        """Train, from the checkpoint on."""
        kwargs: dict[str, Any] = {}
        if self.log_interval != -1:  # below: no log, as RL Zoo has it
            kwargs["log_interval"] = self.log_interval if self.log_interval > -1 else None
        self.resumption.prepare(model, self.callbacks)
        try:
            model.learn(
                self.n_timesteps, callback=self.callbacks, reset_num_timesteps=False, **kwargs
            )
        finally:
            if model.env is not None:
                model.env.close()

    def create_log_folder(self) -> None:
        """Leave the one that is there."""

    def _preprocess_hyperparams(self, hyperparams: dict[str, Any]) -> Any:
        result = super()._preprocess_hyperparams(hyperparams)
        self.monitor_kwargs = {**self.monitor_kwargs, "override_existing": False}
        return result

    def _save_config(self, saved_hyperparams: dict[str, Any]) -> None:
        """Leave the files that are there."""
