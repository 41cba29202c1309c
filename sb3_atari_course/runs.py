"""A run folder of RL Zoo: where it lies, how it was trained, and its model."""

from __future__ import annotations

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import yaml
from huggingface_sb3 import EnvironmentName
from rl_zoo3.utils import ALGOS, get_latest_run_id, get_model_path, get_wrapper_class
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_atari_course.algorithms import register_algorithms
from sb3_atari_course.envs import is_atari
from sb3_atari_course.evaluation import GamesReport, evaluate_games


@dataclass(frozen=True)
class Run:
    """A run folder of RL Zoo.

    :param folder: where its monitor files, model and plots lie.
    :param model_path: the chosen model, a zip of SB3.
    :param algo: RL Zoo's name of the algorithm.
    :param env_id: the environment.
    :param hyperparams: its ``config.yml``.
    :param env_kwargs: of the yml, overwritten by those of the command line.
    """

    folder: Path
    model_path: Path
    algo: str
    env_id: str
    hyperparams: dict[str, Any]
    env_kwargs: dict[str, Any]

    def load_model(self, device: str = "auto") -> BaseAlgorithm:
        """Load the model for playing, without its replay buffer, with the run's VecNormalize.

        SB3 unpickles: trust the files.
        """
        playing = {"learning_rate": 0.0, "lr_schedule": 0.0, "clip_range": 0.0}
        algorithm = ALGOS[self.algo]
        kwargs: dict[str, Any] = {}
        if issubclass(algorithm, OffPolicyAlgorithm):
            # n_steps: SB3 would warn that the buffer, which it chose for them, ignores them
            kwargs = {"buffer_size": 1, "optimize_memory_usage": False, "n_steps": 1}
        model: BaseAlgorithm = algorithm.load(
            self.model_path, device=device, custom_objects=playing, **kwargs
        )
        statistics = self.settings / "vecnormalize.pkl"
        if self.hyperparams.get("normalize"):
            # where SB3 keeps it for get_vec_normalize_env(); its own load() needs an environment
            model._vec_normalize_env = pickle.loads(statistics.read_bytes())
        return model

    @property
    def settings(self) -> Path:
        """The folder of ``config.yml`` and of VecNormalize's statistics."""
        return self.folder / str(EnvironmentName(self.env_id))

    def env_wrapper(self) -> Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]]:
        """Return what its training put around one environment.

        :raises ValueError: if it used what ``evaluate_games`` cannot put around one.
        """
        vec_env_wrapper = self.hyperparams.get("vec_env_wrapper")
        if vec_env_wrapper:
            raise ValueError(
                f"{self.folder} was trained with vec_env_wrapper: {vec_env_wrapper!r}, which"
                " evaluate does not know; use rl_zoo3.enjoy"
            )
        if self.hyperparams.get("normalize") and not (self.settings / "vecnormalize.pkl").is_file():
            raise ValueError(
                f"{self.settings}/vecnormalize.pkl is missing, so the statistics by which the"
                " observations were normalised are unknown: finish the training first"
            )
        return get_wrapper_class(dict(self.hyperparams)) or (lambda env: env)

    def evaluate(
        self, *, seed: int, epsilon: float | None = None, device: str = "auto", **kwargs: Any
    ) -> GamesReport:
        """Score the model in what its training put around the environment.

        :param seed: decides the starts and the random actions.
        :param epsilon: probability of a random action; None for 0.05 in an Atari game, else 0.
        :param kwargs: of :func:`~sb3_atari_course.evaluate_games`.
        :raises ValueError: as ``evaluate_games`` and :meth:`env_wrapper`.
        """
        is_game = is_atari(self.env_id)
        if epsilon is None:
            epsilon = 0.05 if is_game else 0.0
        return evaluate_games(
            self.load_model(device),
            self.env_id,
            seed=seed,
            epsilon=epsilon,
            env_wrapper=self.env_wrapper(),
            env_kwargs={"obs_type": "rgb", **self.env_kwargs} if is_game else self.env_kwargs,
            **kwargs,
        )


def find_run(
    algo: str,
    env_id: str,
    folder: str | Path,
    *,
    exp_id: int = 0,
    load_best: bool = False,
    load_checkpoint: int | None = None,
    load_last_checkpoint: bool = False,
) -> Run:
    """Find a run as RL Zoo's ``enjoy`` does, but pass over runs without a model.

    :param folder: RL Zoo's log folder.
    :param exp_id: number of the run, 0 for the latest that left the model, -1 for no numbered
        folder.
    :raises ValueError: if there is no such run or model, if its yml files hold Python objects.
    """
    register_algorithms()
    if algo not in ALGOS:
        raise ValueError(f"unknown algo {algo!r}: one of {', '.join(ALGOS)}")
    latest = get_latest_run_id(str(Path(folder) / algo), EnvironmentName(env_id))
    numbers = [exp_id] if exp_id else range(latest, 0, -1) or [0]
    failures = []
    for number in numbers:
        try:
            _, model_path, log_path = get_model_path(
                number,
                str(folder),
                algo,
                EnvironmentName(env_id),
                load_best,
                load_checkpoint,  # type: ignore[arg-type]
                load_last_checkpoint,
            )
            break
        except (AssertionError, ValueError) as error:
            failures.append(error)
    else:
        evaluations = " with evaluations (--eval-freq)" if load_best else ""
        raise ValueError(
            f"{failures[0]}: train first{evaluations}, or choose the log folder with -f"
        )
    settings = Path(log_path) / EnvironmentName(env_id)
    if not (settings / "config.yml").is_file():
        raise ValueError(f"{settings}/config.yml is missing: nobody knows what the model saw")
    hyperparams = read_yml(settings / "config.yml")
    arguments = read_yml(settings / "args.yml")
    return Run(
        folder=Path(log_path),
        model_path=Path(model_path),
        algo=algo,
        env_id=env_id,
        hyperparams=hyperparams,
        env_kwargs={
            **(hyperparams.get("env_kwargs") or {}),
            **(arguments.get("env_kwargs") or {}),
        },
    )


def find_folder(algo: str, env_id: str, folder: str | Path, *, exp_id: int = 0) -> Path:
    """Find the folder of a run, finished or not.

    :param folder: RL Zoo's log folder.
    :param exp_id: number of the run, 0 for the latest, -1 for no numbered folder.
    :raises ValueError: if there is no such run.
    """
    runs, name = Path(folder) / algo, EnvironmentName(env_id)
    number = exp_id or get_latest_run_id(str(runs), name)
    if number == 0:
        raise ValueError(
            f"{runs} is no folder with a run of {env_id}: train first, or choose the log folder"
            " with -f"
        )
    path = runs if number < 0 else runs / f"{name}_{number}"
    if not path.is_dir():
        raise ValueError(f"{path} is no folder: train first, or choose the log folder with -f")
    return path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, by which a model is known again, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _RunLoader(yaml.SafeLoader):
    """Reads the Python tags that RL Zoo writes, names of classes as words; refuses all others."""

    def _ordered_dict(self, node: yaml.SequenceNode) -> OrderedDict[str, Any]:
        return OrderedDict(self.construct_sequence(node, deep=True)[0])

    def _name(self, name: str, node: yaml.Node) -> str:
        return name  # nothing is imported

    def _tuple(self, node: yaml.SequenceNode) -> tuple[Any, ...]:
        return tuple(self.construct_sequence(node, deep=True))


_TAG = "tag:yaml.org,2002:python/"
_RunLoader.add_constructor(f"{_TAG}object/apply:collections.OrderedDict", _RunLoader._ordered_dict)
_RunLoader.add_constructor(f"{_TAG}tuple", _RunLoader._tuple)
_RunLoader.add_multi_constructor(f"{_TAG}name:", _RunLoader._name)


def read_yml(path: Path) -> dict[str, Any]:
    """Read ``config.yml`` or ``args.yml`` of a run without running any code; {} if missing."""
    if not path.is_file():
        return {}
    try:
        return dict(yaml.load(path.read_text(encoding="utf-8"), Loader=_RunLoader) or {})
    except yaml.YAMLError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
