"""Suite settings: algorithms, environments and seeds, from a yml file or from flags."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sb3_atari_course._common.errors import SettingError
from sb3_atari_course.envs import find_spec, import_packages, is_atari
from sb3_atari_course.hyperparams import ALGORITHMS
from sb3_atari_course.zoo.algorithms import register_algorithms
from sb3_atari_course.zoo.hyperparameter_checks import check_env_kwargs
from sb3_atari_course.zoo.yml_entry import Hyperparams, read_entry

_VEC_ENVS = ("dummy", "subproc", "native")

#: Keys of a group of runs -> type; those at the top of a file apply to all groups.
_GROUP: dict[str, tuple[type, ...]] = {
    "algos": (list,),
    "envs": (list,),
    "seeds": (list,),
    "n_timesteps": (int,),
    "conf_file": (str,),
    "params": (dict,),
    "env_kwargs": (dict,),
    "vec_env": (str,),
}
_TOP: dict[str, tuple[type, ...]] = {
    **_GROUP,
    "runs": (list,),
    "evaluation": (dict,),
    "gym_packages": (list,),
}
_EVALUATION: dict[str, tuple[type, ...]] = {
    "n_games": (int,),
    "seed": (int,),
    "epsilon": (int, float),
}


@dataclass(frozen=True)
class RunSettings:
    """Settings of one run.

    :param algo: RL Zoo's name of the algorithm.
    :param env_id: Gymnasium's id of the environment.
    :param seed: of the run, at least 1; also the number of its folder.
    :param n_timesteps: agent steps.
    :param hyperparams: the yml entry, with ``params`` and ``env_kwargs`` merged into it.
    :param vec_env: ``"dummy"``, ``"subproc"`` or ``"native"``.
    """

    algo: str
    env_id: str
    seed: int
    n_timesteps: int
    hyperparams: Hyperparams
    vec_env: str = "dummy"

    @property
    def key(self) -> tuple[str, str, int]:
        """Algorithm, environment and seed: unique in a suite."""
        return self.algo, self.env_id, self.seed

    def __str__(self) -> str:
        return f"{self.algo} {self.env_id} seed {self.seed}"


@dataclass(frozen=True)
class EvaluationSettings:
    """Evaluation of the trained agents; see :func:`~sb3_atari_course.evaluate_games`.

    :param n_games: full games per agent.
    :param seed: of the games.
    :param epsilon: probability of a random action; None for 0.05 in an Atari game, else 0.
    """

    n_games: int = 30
    seed: int = 1000
    epsilon: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("n_games", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise SettingError(
                    f"evaluation: {name}: must be at least {least}, got {getattr(self, name)}"
                )
        if self.epsilon is not None and not 0 <= self.epsilon <= 1:
            raise SettingError(f"evaluation: epsilon: must be from 0 to 1, got {self.epsilon}")

    def protocol(self, env_id: str) -> dict[str, Any]:
        """Return the entries that the protocol of a report has for an environment."""
        epsilon = self.epsilon
        if epsilon is None:
            epsilon = 0.05 if is_atari(env_id) else 0.0
        return {"n_games": self.n_games, "seed": self.seed, "epsilon": epsilon}


@dataclass(frozen=True)
class SuiteSettings:
    """Settings of a suite.

    :param runs: the runs, in the order in which they start.
    :param evaluation: of the trained agents.
    :param gym_packages: modules to import that register environments.
    """

    runs: tuple[RunSettings, ...]
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    gym_packages: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return {**asdict(self), "runs": [asdict(run) for run in self.runs]}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> SuiteSettings:
        """Return the settings from what :meth:`as_dict` returned."""
        return cls(
            runs=tuple(RunSettings(**run) for run in content["runs"]),
            evaluation=EvaluationSettings(**content["evaluation"]),
            gym_packages=tuple(content["gym_packages"]),
        )


def read_suite(path: Path) -> SuiteSettings:
    """Read a suite file.

    :raises SettingError: for a file that cannot be read, an unknown key, algorithm or environment,
        missing seeds, a run that is listed twice, hyperparameters that ``train`` would reject.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise SettingError(f"{path} cannot be read: {reason}") from error
    if not isinstance(content, dict):
        raise SettingError(f"{path} must be a mapping with algos, envs and seeds, got {content!r}")
    try:
        return suite_of(content, folder=path.parent)
    except SettingError as error:
        raise SettingError(f"{path}: {error}") from error


def suite_of(content: dict[str, Any], *, folder: Path = Path()) -> SuiteSettings:
    """Return the settings of a suite from the content of a suite file.

    :param content: of the file.
    :param folder: of relative paths of ``conf_file``.
    :raises SettingError: as :func:`read_suite`.
    """
    _check_keys(content, _TOP, "")
    packages = _strings(content.get("gym_packages", []), "gym_packages")
    import_packages(packages)
    register_algorithms()
    evaluation = content.get("evaluation", {})
    _check_keys(evaluation, _EVALUATION, "evaluation: ")
    shared = {key: value for key, value in content.items() if key in _GROUP}
    groups = content.get("runs", [{}])
    runs: list[RunSettings] = []
    listed: set[tuple[str, str]] = set()
    for i, group in enumerate(groups, start=1):
        place = f"runs, entry {i}: " if "runs" in content else ""
        if not isinstance(group, dict):
            raise SettingError(f"{place}must be a mapping with algos and envs, got {group!r}")
        _check_keys(group, _GROUP, place)
        found = list(_runs_of({**shared, **group}, place, folder))
        names = {(run.algo, run.env_id) for run in found}
        for algo, env_id in names & listed:
            raise SettingError(
                f"{place}{algo} on {env_id} is listed twice: its seeds must share their settings;"
                " compare variants in separate suites (-f)"
            )
        listed |= names
        runs += found
    if not runs:
        raise SettingError("runs: is empty: list algos and envs")
    return SuiteSettings(tuple(runs), EvaluationSettings(**evaluation), tuple(packages))


def _runs_of(group: dict[str, Any], place: str, folder: Path) -> Iterator[RunSettings]:
    """Yield the runs of a group: all combinations of its algorithms, environments and seeds."""
    for key in ("algos", "envs", "seeds"):
        if not group.get(key):
            raise SettingError(f"{place}{key}: missing: add a list, such as {_EXAMPLES[key]}")
    algos, envs = (_strings(group[key], f"{place}{key}") for key in ("algos", "envs"))
    seeds = list(dict.fromkeys(_seed(one, place) for one in group["seeds"]))
    vec_env = group.get("vec_env", "dummy")
    if vec_env not in _VEC_ENVS:
        raise SettingError(
            f"{place}vec_env: must be one of {', '.join(_VEC_ENVS)}, got {vec_env!r}"
        )
    n_timesteps = group.get("n_timesteps", 0)
    if "n_timesteps" in group and n_timesteps < 1:
        raise SettingError(f"{place}n_timesteps: must be at least 1, got {n_timesteps}")
    for algo, env_id in itertools.product(algos, envs):
        if algo not in ALGORITHMS:
            raise SettingError(
                f"{place}algos: unknown algorithm {algo!r}{_nearest(algo, ALGORITHMS)}: a suite"
                f" runs {', '.join(ALGORITHMS)}, which can be resumed"
            )
        try:
            find_spec(env_id)
        except ValueError as error:
            raise SettingError(f"{place}envs: {error}") from error
        check_env_kwargs(group.get("env_kwargs"), env_id, f"{place}env_kwargs")
        entry = read_entry(
            algo,
            env_id,
            _conf_file(group.get("conf_file"), folder),
            params=group.get("params"),
            env_kwargs=group.get("env_kwargs"),
            n_timesteps=n_timesteps,
        )
        steps = n_timesteps or entry.get("n_timesteps", 0)
        if steps < 1:
            raise SettingError(
                f"{place}the hyperparameters of {algo} for {env_id} have no n_timesteps: add it"
            )
        entry.pop("n_timesteps", None)
        for seed in seeds:
            yield RunSettings(algo, env_id, seed, int(steps), entry, vec_env)


_EXAMPLES = {"algos": "[dqn, qrdqn]", "envs": "[CartPole-v1]", "seeds": "[1, 2, 3]"}


def _conf_file(name: str | None, folder: Path) -> str | None:
    """Return a path relative to the suite file; the name of a module as it is."""
    if name is None or not name.endswith((".yml", ".yaml", ".py")):
        return name
    return str(folder / name)


def _check_keys(given: Any, known: Mapping[str, tuple[type, ...]], place: str) -> None:
    """Check the keys of a mapping and the types of their values."""
    if not isinstance(given, dict):
        raise SettingError(f"{place}must be a mapping, got {given!r}")
    for key, value in given.items():
        if key not in known:
            raise SettingError(
                f"{place}unknown key {key!r}{_nearest(str(key), known)}: one of {', '.join(known)}"
            )
        if not isinstance(value, known[key]) or isinstance(value, bool):
            kind = known[key][-1].__name__
            raise SettingError(f"{place}{key}: must be of type {kind}, got {value!r}")


def _nearest(name: str, known: Any) -> str:
    found = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {found[0]!r}?" if found else ""


def _strings(given: list[Any], place: str) -> list[str]:
    for one in given:
        if not isinstance(one, str):
            raise SettingError(f"{place}: must be a list of names, got {one!r}")
    return list(dict.fromkeys(given))


def _seed(given: Any, place: str) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given < 2**32:
        raise SettingError(
            f"{place}seeds: must be integers from 1 to 2**32 - 1 (seed N trains in ALGO/ENV_N), got"
            f" {given!r}"
        )
    return given
