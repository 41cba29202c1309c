"""Objective of a study: a trial samples a yml, trains it with RL Zoo and evaluates full games."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import io
import math
import os
import platform
import tempfile
import traceback
from pathlib import Path
from typing import Any

from optuna import Trial, TrialPruned
from optuna.exceptions import StorageInternalError
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_atari_course._common.atomic_files import write_result
from sb3_atari_course._common.errors import SettingError
from sb3_atari_course.envs import is_atari, register_envs
from sb3_atari_course.evaluation import evaluate_games
from sb3_atari_course.evaluation.protocol import without_rules
from sb3_atari_course.tuning.space import Space
from sb3_atari_course.tuning.study import (
    BUDGET,
    ERROR,
    GAMES,
    SURPLUS,
    TRAINING,
    WORKER,
    StudySettings,
    is_surplus,
    seed_for,
)
from sb3_atari_course.zoo.algorithms import register_algorithms
from sb3_atari_course.zoo.experiment import (
    CourseExperimentManager,
    library_errors_as_setting_errors,
)
from sb3_atari_course.zoo.yml_entry import Hyperparams, yml_block


class SurplusTrialError(Exception):
    """Raised by a trial that exceeds the budget, before it trains."""


class Objective:
    """Optuna objective, maximized: trains the yml of a trial and returns its mean score.

    A trial is trained as RL Zoo would train its yml. Its score is the mean over full games by
    :func:`~sb3_atari_course.evaluation.evaluate_games`, with the same seeds for all trials.

    :param settings: of the study.
    :param folder: folder in which ``{number}.yml`` is written.
    :param device: PyTorch device.
    """

    def __init__(self, settings: StudySettings, folder: Path, *, device: str = "auto") -> None:
        self._settings, self._folder, self._device = settings, folder, device
        self._space = Space(settings.algo, settings.space)

    def __call__(self, trial: Trial) -> float:
        """Train a trial and return its final score.

        :raises optuna.TrialPruned: if the pruner stopped the trial.
        :raises SurplusTrialError: if the trial exceeds the budget.
        """
        gc.collect()  # the previous model and its environments form a reference cycle
        study = trial.study
        if is_surplus(trial.number, study.get_trials(deepcopy=False), study.user_attrs[BUDGET]):
            trial.set_user_attr(SURPLUS, True)
            raise SurplusTrialError
        trial.set_user_attr(WORKER, [platform.node(), os.getpid()])
        try:
            score = self._train(trial)
        except (TrialPruned, StorageInternalError):
            raise  # not an error of the trial
        except Exception as error:
            message = " ".join(f"{type(error).__name__}: {error}".split())
            trial.set_user_attr(ERROR, message[:500])
            _log(trial, traceback.format_exc())
            raise
        _log(trial, f"scored {score:g}")
        return score

    def _train(self, trial: Trial) -> float:
        settings = self._settings
        hyperparams = self._space.suggest(trial, settings.hyperparams)
        yml = self._folder / f"{trial.number:04}.yml"
        write_text(yml, yml_block(settings.env_id, hyperparams, settings.n_timesteps))
        _log(trial, f"training {yml}")
        scores = [self._train_once(trial, yml, repeat) for repeat in range(settings.n_repeats)]
        return sum(scores) / len(scores)

    def _train_once(self, trial: Trial, yml: Path, repeat: int) -> float:
        settings = self._settings
        experiment = TrialExperiment(
            settings.algo,
            settings.env_id,
            yml,
            seed=seed_for(TRAINING, settings.seed, trial.number, repeat),
            device=self._device,
        )
        model = experiment.build()
        scorer = Scorer(trial, settings, experiment, first_step=repeat * settings.n_timesteps)
        experiment.learn(model, scorer)
        if scorer.is_pruned:
            raise TrialPruned
        score = scorer.score(model, is_last=True)
        if repeat + 1 < settings.n_repeats and trial.should_prune():
            raise TrialPruned
        return score


class Scorer(BaseCallback):
    """Evaluation callback: reports intermediate scores to Optuna, and stops pruned trials.

    :param trial: the Optuna trial to report to.
    :param settings: of the study: how often and how to evaluate.
    :param experiment: the experiment, for its wrappers and ``env_kwargs``.
    :param first_step: agent steps of earlier runs of this trial.
    """

    def __init__(
        self,
        trial: Trial,
        settings: StudySettings,
        experiment: TrialExperiment,
        *,
        first_step: int = 0,
    ) -> None:
        super().__init__()
        self.is_pruned = False
        self._trial, self._settings, self._experiment = trial, settings, experiment
        self._first_step, self._n_done = first_step, 0

    def score(self, model: BaseAlgorithm, *, is_last: bool = False) -> float:
        """Evaluate the model, and report and return its mean score.

        :param model: the model.
        :param is_last: this is the evaluation at the end of training.
        :raises ValueError: if the mean score is not finite.
        """
        settings = self._settings
        report = evaluate_games(
            model,
            settings.env_id,
            n_games=settings.n_games,
            seed=seed_for(GAMES, settings.seed),
            epsilon=settings.epsilon,
            max_frames=settings.max_frames,
            random_play=False,
            **self._experiment.game_settings(),
        )
        if not math.isfinite(report.mean):
            raise ValueError(f"the mean score is not finite: {report.mean}")
        # the same steps in all trials, since the pruner compares scores of equal steps
        step = self._first_step + (settings.n_timesteps if is_last else self._next_step())
        self._n_done += 1
        self._trial.report(report.mean, step)
        _log(self._trial, f"{report.mean:g} after {step} steps")
        return report.mean

    def _on_step(self) -> bool:
        is_last = self._n_done + 1 >= self._settings.n_evaluations
        if is_last or self.num_timesteps < self._next_step():
            return True  # the last evaluation is done after training
        self.score(self.model)
        self.is_pruned = self._trial.should_prune()
        return not self.is_pruned

    def _next_step(self) -> int:
        """Return the agent step of the next evaluation in this training."""
        settings = self._settings
        return settings.n_timesteps * (self._n_done + 1) // settings.n_evaluations


class TrialExperiment(CourseExperimentManager):
    """RL Zoo experiment of a trial: builds and trains the model of a yml without writing files.

    :param algo: RL Zoo's name of the algorithm.
    :param env_id: Gymnasium's id of the environment.
    :param yml: path of the yml; None for the default of ``sb3-atari train``.
    :param n_timesteps: agent steps; 0 for those of the yml.
    :param seed: of the run.
    :param device: PyTorch device.
    :param env_kwargs: arguments of the environment, merged into those of the yml.
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
        """Build the model and its environments."""
        with contextlib.redirect_stdout(io.StringIO()):
            built = self.setup_experiment()
        assert built is not None
        model: BaseAlgorithm = built[0]
        return model

    def learn(self, model: BaseAlgorithm, *more_callbacks: BaseCallback) -> None:
        """Train with the callbacks of the yml and further ones, then close the environments."""
        try:
            model.learn(self.n_timesteps, callback=[*self.callbacks, *more_callbacks])
        finally:
            self.close(model)

    def close(self, model: BaseAlgorithm) -> None:
        """Close the environments."""
        if model.env is not None:
            model.env.close()

    def game_settings(self) -> dict[str, Any]:
        """Return ``env_wrapper`` and ``env_kwargs`` for ``evaluate_games``, as used in training."""
        rgb = {"obs_type": "rgb"} if is_atari(self.env_name.gym_id) else {}
        wrap = self.env_wrapper or (lambda env: env)
        return {"env_wrapper": wrap, "env_kwargs": {**rgb, **without_rules(self.env_kwargs)}}

    def create_log_folder(self) -> None:
        """Do nothing: trials have no log folder."""

    def create_callbacks(self) -> None:
        """Do nothing: trials are evaluated by :class:`Scorer`."""

    def create_envs(self, n_envs: int, eval_env: bool = False, no_log: bool = False) -> VecEnv:
        """Create the environments, without monitor files."""
        return super().create_envs(n_envs, eval_env, no_log=True)

    def _save_config(self, saved_hyperparams: dict[str, Any]) -> None:
        """Do nothing: the yml exists."""


def prepare(*, native: bool) -> None:
    """Register our algorithms and environments with RL Zoo.

    :param native: use ale-py's vectorized environment in this process from now on.
    """
    register_envs()
    register_algorithms()
    if native:
        importlib.import_module("sb3_atari_course.native_zoo")


def check_values(settings: StudySettings, *, device: str = "auto") -> None:
    """Check a search space: build the model of the first trial, and of each other value.

    Since Atari models are slow to build, their top-level keys are checked without building one.

    :param settings: of the study.
    :param device: PyTorch device.
    :raises ValueError: for the first invalid value.
    """
    space, is_game = Space(settings.algo, settings.space), is_atari(settings.env_id)
    if not space.tuned():
        raise ValueError("no parameter to tune: give at least one more than one value (--param)")
    first = space.first(settings.hyperparams)
    with library_errors_as_setting_errors():
        _check_hyperparams(settings, first, device)
    for one, value, variant in space.variants({**first, "n_envs": 1} if is_game else first):
        try:
            _check_hyperparams(settings, variant, device, is_built=not is_game or "." in one.path)
        except Exception as error:
            raise ValueError(f"{one.name}={value}: {error}") from error


def _check_hyperparams(
    settings: StudySettings, hyperparams: Hyperparams, device: str, *, is_built: bool = True
) -> None:
    """Read a yml entry as RL Zoo does, and optionally build its model."""
    with tempfile.TemporaryDirectory() as folder:
        yml = Path(folder) / "trial.yml"
        yml.write_text(yml_block(settings.env_id, hyperparams, settings.n_timesteps))
        experiment = TrialExperiment(settings.algo, settings.env_id, yml, device=device)
        try:
            if is_built:
                experiment.close(experiment.build())
            else:
                experiment.entry()
        except SettingError as error:
            raise SettingError(str(error).removeprefix(f"{yml}: ")) from error


def write_text(path: Path, text: str) -> None:
    """Write a file atomically, so that other processes never read a partial one."""
    write_result(path, lambda file: file.write(text.encode()), advice="choose another folder (-f)")


def _log(trial: Trial, message: str) -> None:
    print(f"trial {trial.number}: {message}", flush=True)
