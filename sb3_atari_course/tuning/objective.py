"""One trial: parameters, a yml with them, a training by RL Zoo, scores of whole games."""

from __future__ import annotations

import gc
import math
import os
import platform
import time
import traceback
from pathlib import Path

from optuna import Trial, TrialPruned
from optuna.exceptions import StorageInternalError
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_course.evaluation import evaluate_games
from sb3_atari_course.tuning.experiment import TrialExperiment
from sb3_atari_course.tuning.seeds import GAMES, TRAINING, seed_for
from sb3_atari_course.tuning.settings import StudySettings
from sb3_atari_course.tuning.space import Space
from sb3_atari_course.tuning.study import BUDGET, ERROR, SURPLUS, WORKER, is_surplus
from sb3_atari_course.tuning.yml import write_yml


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
        begun = time.perf_counter()
        try:
            score = self._train(trial)
        except TrialPruned:
            _say(trial, f"pruned after {time.perf_counter() - begun:.1f} s")
            raise
        except StorageInternalError:
            raise  # not the trial's fault
        except Exception as error:
            message = " ".join(f"{type(error).__name__}: {error}".split())
            trial.set_user_attr(ERROR, message[:500])
            _say(trial, traceback.format_exc())
            raise
        _say(trial, f"scored {score:g} in {time.perf_counter() - begun:.1f} s")
        return score

    def _train(self, trial: Trial) -> float:
        settings = self._settings
        hyperparams = self._space.suggest(trial, settings.hyperparams)
        yml = self._folder / f"{trial.number:04}.yml"
        write_yml(yml, settings.env_id, hyperparams, settings.n_timesteps)
        _say(trial, f"trains {yml}")
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
    """Scores the agent while it learns, tells Optuna, and stops a training that is pruned.

    :param trial: whom to tell.
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
        """Return the mean score of whole games, and tell Optuna.

        :param is_last: the training is over.
        :raises ValueError: if it is no number.
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
        _say(self._trial, f"{report.mean:g} after {step} steps")
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


def _say(trial: Trial, what: str) -> None:
    print(f"trial {trial.number}: {what}", flush=True)
