"""Resume a run of RL Zoo or of ``sb3-atari train``: the experiment is rebuilt from its folder."""

from __future__ import annotations

import argparse
import importlib
import os
from collections import OrderedDict
from copy import deepcopy
from pathlib import Path
from typing import Any

import gymnasium as gym
import yaml
from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.utils import get_class_by_name
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course._common.validation import boolean
from sb3_atari_course.checkpoints.resuming import Resumption, find_checkpoint
from sb3_atari_course.envs import register_envs
from sb3_atari_course.zoo.algorithms import register_algorithms


def resume_experiment(
    path: str | os.PathLike[str],
    *,
    n_timesteps: int | None = None,
    device: str | None = None,
    num_threads: int | None = None,
    progress: bool = False,
) -> BaseAlgorithm:
    """Resume a run of RL Zoo or of ``sb3-atari train`` in its folder, until its last timestep.

    Classes named in the run's settings are imported: only resume run folders that you trust.

    :param path: the run folder, which contains ``checkpoints``.
    :param n_timesteps: total agent steps of the run; None: as originally requested.
    :param device: PyTorch device; None: as originally requested.
    :param num_threads: threads of PyTorch; None: as originally requested.
    :param progress: show a progress bar, whether or not the original run had one.
    :return: the trained model, which is also saved in the run folder.
    :raises CheckpointError: as :func:`.resume`; also for the run of a script, or if its environment
        is not registered any more.
    :raises ValueError: for a number out of range.
    """
    boolean("progress", progress)
    with find_checkpoint(path, n_timesteps=n_timesteps, num_threads=num_threads) as resumption:
        experiment = _build(resumption, {"device": device, "progress": progress or None})
        results = experiment.setup_experiment()
        assert results is not None
        model: BaseAlgorithm = results[0]
        experiment.learn(model)
        experiment.save_trained_model(model)
        return model


def _build(resumption: Resumption, changes: dict[str, Any]) -> Any:
    begun, run = resumption.checkpoint.begun, resumption.run
    if "experiment" not in begun:
        raise CheckpointError(
            f"{run} was trained by a Python script: resume it in that script, with the model it"
            f" builds: sb3_atari_course.resume({str(run)!r}, model)"
        )
    (file,) = [*run.glob("*/args.yml")][:1] or [run / "args.yml"]
    given = argparse.Namespace(**_read(file))
    given.trained_agent = begun["trained_agent"]
    vars(given).update((name, value) for name, value in changes.items() if value is not None)
    for module in given.gym_packages:
        importlib.import_module(module)
    register_envs()
    register_algorithms()
    if begun["native"]:
        importlib.import_module("sb3_atari_course.native_zoo")
    if given.env not in gym.registry:
        raise CheckpointError(
            f"the environment {given.env} is not registered: install or import its package"
        )
    base = get_class_by_name(begun["experiment"])
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
    experiment.checkpoint_freq = begun["every"]
    experiment.resume_from(resumption)
    return experiment


def _read(path: Path) -> dict[str, Any]:
    """Return the settings that RL Zoo saved, with the classes they refer to."""
    try:
        return dict(yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.UnsafeLoader))
    except (OSError, yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"cannot read the settings of the run, {path}: {reason}") from error


class _Resumed(ExperimentManager):
    """RL Zoo experiment in an existing run folder: keeps its settings, files and step count."""

    def resume_from(self, resumption: Resumption) -> None:
        """Use the run folder and the total timesteps of a resumption."""
        self.resumption = resumption
        self.save_path = str(resumption.run)
        self.params_path = str(resumption.run / self.env_name)
        self.n_timesteps = resumption.n_timesteps

    def read_hyperparameters(self) -> Any:
        """Return the hyperparameters that RL Zoo saved in ``config.yml``."""
        saved = _read(Path(self.params_path) / "config.yml")
        settings = deepcopy(saved)
        if settings.get("env_kwargs") and self.env_kwargs and self._eval_env_kwargs_args is None:
            self.eval_env_kwargs = settings["env_kwargs"]  # as RL Zoo does
        return settings, OrderedDict(saved)

    def learn(self, model: BaseAlgorithm) -> None:
        """Restore the checkpoint and continue training."""
        kwargs: dict[str, Any] = {}
        if self.log_interval != -1:  # smaller values mean no log, as in RL Zoo
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
        """Do nothing: the folder exists."""

    def _preprocess_hyperparams(self, hyperparams: dict[str, Any]) -> Any:
        result = super()._preprocess_hyperparams(hyperparams)
        self.monitor_kwargs = {**self.monitor_kwargs, "override_existing": False}
        return result

    def _save_config(self, saved_hyperparams: dict[str, Any]) -> None:
        """Do nothing: the files exist."""
