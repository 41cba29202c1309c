"""One trial: parameters, a yml with them, a training by RL Zoo, scores of whole games."""

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

import yaml
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
from sb3_atari_course.tuning.space import Hyperparams, Space
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
from sb3_atari_course.zoo.experiment import CourseExperimentManager, refusals_of_hosts


class SurplusTrialError(Exception):
    """The budget needs no further trial; this one ends before it begins."""


class Objective:
    """Trains and scores one trial after the other; what Optuna maximises.

    A trial is trained from a yml in ``folder``, as RL Zoo would train it. Its score is the mean of
    whole games, :func:`~sb3_atari_course.evaluation.evaluate_games`: the same ones for all trials.

    :param settings: of the study.
    :param folder: where ``{number}.yml`` are written.
    :param device: of PyTorch.
    """

    def __init__(self, settings: StudySettings, folder: Path, *, device: str = "auto") -> None:
        self._settings, self._folder, self._device = settings, folder, device
        self._space = Space(settings.algo, settings.space)

    def __call__(self, trial: Trial) -> float:
        """Return the score at the end of the training.

        :raises optuna.TrialPruned: if the trial was not worth its end.
        :raises SurplusTrialError: if the budget is spent already.
        """
        gc.collect()  # the model before: it and its environments refer to each other
        study = trial.study
        if is_surplus(trial.number, study.get_trials(deepcopy=False), study.user_attrs[BUDGET]):
            trial.set_user_attr(SURPLUS, True)
            raise SurplusTrialError
        trial.set_user_attr(WORKER, [platform.node(), os.getpid()])
        try:
            score = self._train(trial)
        except (TrialPruned, StorageInternalError):
            raise  # not the trial's fault
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
        _log(trial, f"trains {yml}")
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
    """Scores the agent while it learns, reports to Optuna, and stops a training that is pruned.

    :param trial: to report to.
    :param settings: how often to score, and how.
    :param experiment: what the agent was trained on.
    :param first_step: agent steps of the trainings of this trial before.
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
        """Return the mean score of whole games, and report it to Optuna.

        :param is_last: the training is over.
        :raises ValueError: if it is not finite.
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
            raise ValueError(f"the mean score is {report.mean}")
        # the same steps for all trials: the pruner compares them there
        step = self._first_step + (settings.n_timesteps if is_last else self._next_step())
        self._n_done += 1
        self._trial.report(report.mean, step)
        _log(self._trial, f"{report.mean:g} after {step} steps")
        return report.mean

    def _on_step(self) -> bool:
        is_last = self._n_done + 1 >= self._settings.n_evaluations
        if is_last or self.num_timesteps < self._next_step():
            return True  # the last score is made when all is learned
        self.score(self.model)
        self.is_pruned = self._trial.should_prune()
        return not self.is_pruned

    def _next_step(self) -> int:
        """Return the agent step of the next score in this training."""
        settings = self._settings
        return settings.n_timesteps * (self._n_done + 1) // settings.n_evaluations


class TrialExperiment(CourseExperimentManager):
    """RL Zoo's experiment for a trial: the model that a yml describes, and nothing on the disk.

    :param yml: the file; None for what our launcher would read.
    :param n_timesteps: agent steps; 0 for those of the yml.
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
            self.close(model)

    def close(self, model: BaseAlgorithm) -> None:
        """Close the environments."""
        if model.env is not None:
            model.env.close()

    def game_settings(self) -> dict[str, Any]:
        """Return what ``evaluate_games`` needs to show the model what it was trained on."""
        colours = {"obs_type": "rgb"} if is_atari(self.env_name.gym_id) else {}
        wrap = self.env_wrapper or (lambda env: env)
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


def prepare(*, native: bool) -> None:
    """Register our algorithms and environments with RL Zoo.

    :param native: whether games are played in ale-py's threads, for the rest of this process.
    """
    register_envs()
    register_algorithms()
    if native:
        importlib.import_module("sb3_atari_course.native_zoo")


def check_values(settings: StudySettings, *, device: str = "auto") -> None:
    """Build the model of the first trial, and that of each other value of a parameter.

    Atari games are slow to build: values at the top of their yml are checked without a model.

    :raises ValueError: for the first value that is refused.
    """
    space, is_game = Space(settings.algo, settings.space), is_atari(settings.env_id)
    if not space.tuned():
        raise ValueError("nothing is left to tune: give a parameter more than one value")
    first = space.first(settings.hyperparams)
    with refusals_of_hosts():
        _try(settings, first, device)
    for one, value, variant in space.variants({**first, "n_envs": 1} if is_game else first):
        try:
            _try(settings, variant, device, is_built=not is_game or "." in one.path)
        except Exception as error:
            raise ValueError(f"{one.name}={value}: {error}") from error


def _try(
    settings: StudySettings, hyperparams: Hyperparams, device: str, *, is_built: bool = True
) -> None:
    """Read a yml entry as RL Zoo would, and maybe build its model."""
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


class _PlainDumper(yaml.SafeDumper):
    """Writes no anchors, and lists of plain values in a line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_list(self, data: Any) -> yaml.SequenceNode:
        flow = not any(isinstance(one, dict) for one in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)


_PlainDumper.add_representer(list, _PlainDumper.represent_list)


def yml_block(env_id: str, hyperparams: Hyperparams, n_timesteps: int) -> str:
    """Return an entry as the text of a yml that stock RL Zoo reads.

    :param n_timesteps: agent steps, in place of those of ``hyperparams``.
    """
    entry = {**hyperparams, "n_timesteps": n_timesteps}
    text: str = yaml.dump({env_id: entry}, Dumper=_PlainDumper, sort_keys=False, width=100)
    return text


def write_text(path: Path, text: str) -> None:
    """Write a file of a study atomically: other processes read all of it or none."""
    write_result(path, lambda file: file.write(text.encode()), advice="choose another folder (-f)")


def _log(trial: Trial, message: str) -> None:
    print(f"trial {trial.number}: {message}", flush=True)
