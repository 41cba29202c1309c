"""Run folders of RL Zoo: finding them, their settings and provenance, and loading their models."""

from __future__ import annotations

import glob
import hashlib
import json
import math
import os
import pickle
import platform
import re
import shutil
import subprocess
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium as gym
import psutil
import torch as th
import yaml
from huggingface_sb3 import EnvironmentName
from rl_zoo3.utils import ALGOS, get_wrapper_class
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

import sb3_atari_course
from sb3_atari_course._common.atomic_files import write_result
from sb3_atari_course._common.progress import announce
from sb3_atari_course._common.validation import integer_at_least
from sb3_atari_course.checkpoints.folder import installed_versions
from sb3_atari_course.envs import import_packages, is_atari
from sb3_atari_course.evaluation import N_ENVS, GamesReport, evaluate_games
from sb3_atari_course.evaluation.protocol import without_rules
from sb3_atari_course.evaluation.side_by_side import play_games
from sb3_atari_course.zoo.algorithms import register_algorithms
from sb3_atari_course.zoo.evaluation_workers import play_in_processes

#: Name of a run folder: environment, number, and the suffix of ``--uuid``.
_RUN = re.compile(
    r"(?P<name>.+)_(?P<number>\d+)(?P<uuid>(?:_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})?)",
    re.ASCII,
)
_CHECKPOINT = re.compile(r"rl_model_(\d+)_steps\.zip", re.ASCII)

#: Commit, versions and hardware of a run, next to RL Zoo's ``config.yml``.
PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class Run:
    """A run folder of RL Zoo and one of its models.

    :param folder: the run folder, with monitor files, models and plots.
    :param model_path: the selected model, an SB3 zip.
    :param algo: RL Zoo's name of the algorithm.
    :param env_id: Gymnasium's id of the environment.
    :param hyperparams: content of its ``config.yml``.
    :param env_kwargs: those of the yml, overridden by those of the command line.
    """

    folder: Path
    model_path: Path
    algo: str
    env_id: str
    hyperparams: dict[str, Any]
    env_kwargs: dict[str, Any]

    def load_model(self, device: str = "auto") -> BaseAlgorithm:
        """Load the model for inference, with a minimal replay buffer and the run's VecNormalize.

        SB3 unpickles the file: only load files that you trust.
        """
        inference = {"learning_rate": 0.0, "lr_schedule": 0.0, "clip_range": 0.0}
        algorithm = ALGOS[self.algo]
        kwargs: dict[str, Any] = {}
        if issubclass(algorithm, OffPolicyAlgorithm):
            # n_steps > 1 would make SB3 warn that the saved buffer class ignores it
            kwargs = {"buffer_size": 1, "optimize_memory_usage": False, "n_steps": 1}
        model: BaseAlgorithm = algorithm.load(
            self.model_path, device=device, custom_objects=inference, **kwargs
        )
        statistics = self.settings / "vecnormalize.pkl"
        if self.hyperparams.get("normalize"):
            # read by SB3's get_vec_normalize_env(); VecNormalize.load() needs an environment
            model._vec_normalize_env = pickle.loads(statistics.read_bytes())
        return model

    @property
    def settings(self) -> Path:
        """The folder of ``config.yml`` and of VecNormalize's statistics."""
        return self.folder / str(EnvironmentName(self.env_id))

    def env_wrapper(self) -> Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]]:
        """Return the wrappers that training applied to one environment.

        :raises ValueError: for a ``vec_env_wrapper``, which ``evaluate_games`` does not support, or
            if the statistics of VecNormalize are missing.
        """
        vec_env_wrapper = self.hyperparams.get("vec_env_wrapper")
        if vec_env_wrapper:
            raise ValueError(
                f"{self.folder} was trained with vec_env_wrapper: {vec_env_wrapper!r}, which"
                " evaluate does not support: use sb3-atari enjoy"
            )
        if self.hyperparams.get("normalize") and not (self.settings / "vecnormalize.pkl").is_file():
            raise ValueError(
                f"{self.settings}/vecnormalize.pkl is missing, so the statistics that normalized"
                " the observations are unknown: finish the training first"
            )
        return get_wrapper_class(dict(self.hyperparams)) or (lambda env: env)

    def evaluate(
        self,
        *,
        seed: int,
        n_games: int = 30,
        epsilon: float | None = None,
        random_play: bool = True,
        device: str = "auto",
        n_envs: int = N_ENVS,
        n_workers: int = 1,
        gym_packages: Sequence[str] = (),
        progress_bar: bool = False,
        **kwargs: Any,
    ) -> GamesReport:
        """Evaluate the model with the wrappers and ``env_kwargs`` of its run.

        :param seed: of the initial states and the random actions.
        :param epsilon: probability of a random action; None for 0.05 in an Atari game, else 0.
        :param device: PyTorch device.
        :param n_envs: most games played side by side, in all processes together.
        :param n_workers: number of processes that play, including this one; the others start once
            the games take longer than a second. A script needs ``if __name__ == "__main__":``.
        :param gym_packages: modules that register the environment, imported in each process.
        :param progress_bar: show the progress on stderr.
        :param kwargs: further arguments of :func:`~sb3_atari_course.evaluate_games`.
        :raises ValueError: as ``evaluate_games`` and :meth:`env_wrapper`; if a worker dies.
        """
        for name, value in (("n_games", n_games), ("n_envs", n_envs), ("n_workers", n_workers)):
            integer_at_least(1, name, value)
        if progress_bar:
            also = f", {n_games} with random actions" if random_play else ""
            announce(
                f"Evaluating {self.algo} on {self.env_id} ({self.model_path}): {n_games} games"
                f" with the agent{also}"
            )
        n_workers = min(n_workers, n_games)
        with TemporaryDirectory() as folder:
            run = self
            if n_workers > 1:  # all load the same model, even if a run in progress replaces it
                run = replace(self, model_path=Path(shutil.copy(self.model_path, folder)))
            evaluate = partial(
                run._evaluate,
                seed=seed,
                n_games=n_games,
                epsilon=epsilon,
                random_play=random_play,
                device=device,
                n_envs=math.ceil(min(n_envs, n_games) / n_workers),  # in each process
                gym_packages=gym_packages,
                **kwargs,
            )
            play = partial(play_in_processes, evaluate, n_workers) if n_workers > 1 else play_games
            return evaluate(progress_bar=progress_bar, play=play)

    def _evaluate(
        self, *, epsilon: float | None, device: str, gym_packages: Sequence[str], **kwargs: Any
    ) -> GamesReport:
        import_packages(gym_packages)
        register_algorithms()
        is_game = is_atari(self.env_id)
        if epsilon is None:
            epsilon = 0.05 if is_game else 0.0
        env_kwargs = self.env_kwargs
        if is_game:
            env_kwargs = {"obs_type": "rgb", **without_rules(env_kwargs)}
        return evaluate_games(
            self.load_model(device),
            self.env_id,
            epsilon=epsilon,
            env_wrapper=self.env_wrapper(),
            env_kwargs=env_kwargs,
            **kwargs,
        )


def write_evaluation(run: Run, report: GamesReport, model_sha256: str) -> Path:
    """Write ``evaluation.json`` into the run folder.

    :param report: of the run's model.
    :param model_sha256: of the file that was evaluated.
    :raises ValueError: if it cannot be written.
    """
    path = run.folder / "evaluation.json"
    result = {"model": run.model_path.name, "model_sha256": model_sha256, **report.as_dict()}
    text = json.dumps(result, indent=2) + "\n"
    advice = "the score is complete, only the file is missing"
    write_result(path, lambda file: file.write(text.encode()), advice=advice)
    return path


def find_run(algo: str, env_id: str, folder: str | Path, **which: Any) -> Run:
    """Find a run as :func:`find_model` does, and read its settings.

    :param algo: RL Zoo's name of the algorithm.
    :param env_id: Gymnasium's id of the environment.
    :param folder: RL Zoo's log folder.
    :param which: ``exp_id``, ``load_best``, ``load_checkpoint``, ``load_last_checkpoint`` of
        ``find_model``.
    :raises ValueError: as ``find_model``, if its yml files are missing or cannot be read.
    """
    run, model_path = find_model(algo, env_id, folder, **which)
    hyperparams, arguments = read_settings(run / EnvironmentName(env_id), to_play=True)
    env_kwargs = {
        **(hyperparams.get("env_kwargs") or {}),
        **(arguments.get("env_kwargs") or {}),
    }
    return Run(run, model_path, algo, env_id, hyperparams, env_kwargs)


def find_model(
    algo: str,
    env_id: str,
    folder: str | Path,
    *,
    exp_id: int | str = 0,
    load_best: bool = False,
    load_checkpoint: int | None = None,
    load_last_checkpoint: bool = False,
) -> tuple[Path, Path]:
    """Find a model among the runs of an environment, including runs with ``--uuid``.

    :param algo: RL Zoo's name of the algorithm.
    :param env_id: Gymnasium's id of the environment.
    :param folder: RL Zoo's log folder.
    :param exp_id: 0 for the latest run that has the model, with a line on stderr for each newer run
        that is skipped; the number of a run, ``"3_<uuid>"`` for one of several with that number;
        -1 for files directly in the algorithm's folder.
    :param load_best: the best model of RL Zoo's evaluations.
    :param load_checkpoint: the model saved after this many agent steps (``--save-freq``).
    :param load_last_checkpoint: the last model saved during training (``--save-freq``).
    :return: the run folder, and the path of the zip in it.
    :raises ValueError: if there is no such run or model.
    """
    register_algorithms()
    if algo not in ALGOS:
        raise ValueError(f"unknown algo {algo!r}: one of {', '.join(ALGOS)}")
    name, place = EnvironmentName(env_id), Path(folder) / algo

    def model_of(run: Path) -> Path:
        if load_best:
            return run / "best_model.zip"
        steps = load_checkpoint
        if steps is None and load_last_checkpoint:
            steps = max(checkpoints_of(run), default=-1)
        return run / (f"{name}.zip" if steps is None else f"rl_model_{steps}_steps.zip")

    is_saved = load_last_checkpoint or load_checkpoint is not None
    what = "best model" if load_best else "saved model" if is_saved else "model"
    if what == "saved model" and load_checkpoint is not None:
        what += f" after {load_checkpoint} steps"
    runs = _runs_of(name, place, exp_id)
    run = _latest_with(lambda run: model_of(run).is_file(), runs, what)
    if run is not None:
        return run, model_of(run)
    known = "; ".join(f"{one.name}: {checkpoints_of(one) or 'none'}" for one in runs)
    raise ValueError(
        f"No {what} found for {algo} on {env_id}, path: {model_of(runs[0])}: train first, with"
        f" --save-freq for saved models (existing ones: {known}), with --eval-freq for the best"
        " model; or choose another log folder with -f"
    )


def find_folder(algo: str, env_id: str, folder: str | Path, *, exp_id: int | str = 0) -> Path:
    """Find the folder of a run, by the rules of :func:`find_model`.

    :param exp_id: as in :func:`find_model`; 0 is the latest run if none has a model yet.
    :raises ValueError: if there is no such run.
    """
    name, place = EnvironmentName(env_id), Path(folder) / algo
    runs = _runs_of(name, place, exp_id)
    if exp_id == 0 and runs == [place]:
        raise ValueError(
            f"{place} has no run of {env_id}: train first, or choose the log folder with -f"
        )
    return _latest_with(lambda run: (run / f"{name}.zip").is_file(), runs, "model") or runs[0]


def run_number(folder: Path) -> str | None:
    """Return the number of a run folder, with its uuid if it has one, for ``--exp-id``.

    >>> run_number(Path("logs/dqn/CartPole-v1_12"))
    '12'

    :return: None if the name does not follow RL Zoo's pattern.
    """
    match = _RUN.fullmatch(folder.name)
    return match["number"] + match["uuid"] if match else None


def checkpoints_of(run: Path) -> list[int]:
    """Return the agent steps of RL Zoo's saved models (``--save-freq``) in a run folder, sorted."""
    found = (_CHECKPOINT.fullmatch(path.name) for path in run.glob("rl_model_*_steps.zip"))
    return sorted(int(match[1]) for match in found if match)


def check_model(path: Path) -> None:
    """Check that a model's zip is complete, before SB3 fails halfway through loading it.

    :raises ValueError: if it is truncated or damaged, or was not saved by SB3.
    """
    try:
        with zipfile.ZipFile(path) as file:
            is_complete = file.testzip() is None and "data" in file.namelist()
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError):
        is_complete = False
    if not is_complete:
        raise ValueError(
            f"{path} is truncated, damaged or not a model of SB3: wait if a run is writing it,"
            " else choose another model (--load-best, --load-checkpoint) or another run"
        )


def _runs_of(name: str, place: Path, exp_id: int | str) -> list[Path]:
    """Return the run folders that match ``exp_id``, the latest first.

    RL Zoo's ``--uuid`` makes ``NAME_1_<uuid>`` and does not increase the number, so runs with the
    same number are ordered by their start time.

    :param place: RL Zoo's folder for the runs of one algorithm.
    :raises ValueError: if there is none.
    """
    found = []
    for path in place.glob(f"{glob.escape(name)}_*"):
        match = _RUN.fullmatch(path.name)
        if match and match["name"] == name and path.is_dir():
            arguments = path / name / "args.yml"  # written once, when training starts
            started = (arguments if arguments.is_file() else path).stat().st_mtime_ns
            found.append((int(match["number"]), started, path))
    chosen = [path for _, _, path in sorted(found, reverse=True)]
    wanted = place
    if isinstance(exp_id, str) or exp_id > 0:
        wanted = place / f"{name}_{exp_id}"
        with_uuid = [path for path in chosen if path.name.startswith(f"{wanted.name}_")]
        chosen = [wanted] if wanted.is_dir() else with_uuid
    elif exp_id < 0 or not chosen:
        chosen = [place] if place.is_dir() else []
    if not chosen:
        known = ", ".join(path.name for _, _, path in sorted(found))
        advice = f"existing: {known}" if known else "train first, or choose the log folder with -f"
        raise ValueError(f"The {wanted} folder was not found: {advice}")
    return chosen


def _latest_with(has: Callable[[Path], bool], runs: list[Path], what: str) -> Path | None:
    """Return the first run that has a file; print the runs that are skipped on stderr."""
    for i, run in enumerate(runs):
        if has(run):
            for newer in runs[:i]:
                announce(f"{newer.name} has no {what} yet: using {run.name}")
            return run
    return None


def read_settings(folder: Path, *, to_play: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read ``config.yml`` and ``args.yml``, which RL Zoo saves when training starts.

    :param folder: the settings folder, ``.../CartPole-v1_1/CartPole-v1``.
    :param to_play: require ``config.yml``, whose wrappers the model needs to act.
    :return: hyperparameters and arguments, {} for a file that is missing.
    :raises ValueError: for a file that cannot be read; ``to_play`` without ``config.yml``.
    """
    if to_play and not (folder / "config.yml").is_file():
        raise ValueError(
            f"{folder}/config.yml is missing, so the preprocessing used in training is unknown:"
            " copy it from a run with the same settings, or train again"
        )
    both = read_yml(folder / "config.yml"), read_yml(folder / "args.yml")
    for file, content in zip(("config.yml", "args.yml"), both, strict=True):
        if not isinstance(content.get("env_kwargs") or {}, dict):
            raise ValueError(
                f"{folder / file} cannot be read: env_kwargs must be a mapping, got"
                f" {content['env_kwargs']!r}"
            )
    return both


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _RunLoader(yaml.SafeLoader):
    """YAML loader for RL Zoo's files: Python names become strings, other Python tags are errors."""

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
    """Read ``config.yml`` or ``args.yml`` of a run without executing code; {} if missing.

    :raises ValueError: for a file that is empty, malformed, or not a mapping.
    """
    if not path.is_file():
        return {}
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_RunLoader)
    except (yaml.YAMLError, ValueError, TypeError, LookupError, RecursionError) as error:
        reason = " ".join(str(error).split())  # on one line
        raise ValueError(f"{path} cannot be read: {reason}") from error
    if not isinstance(content, dict):
        found = "it is empty" if content is None else f"it contains {str(content)[:40]!r}"
        raise ValueError(
            f"{path} cannot be read: {found} instead of settings; copy it from a run with the same"
            " settings, or train again"
        )
    return dict(content)


def write_provenance(folder: Path) -> None:
    """Write ``provenance.json``: commit, versions and hardware at the start of training.

    :param folder: settings folder, ``.../BreakoutNoFrameskip-v4_1/BreakoutNoFrameskip-v4``.
    """
    text = json.dumps(find_provenance(), indent=2)
    (folder / PROVENANCE).write_text(text + "\n", encoding="utf-8")


def shorten_paths(text: str) -> str:
    """Replace the current folder by ``.`` and the home folder by ``~`` in a text."""
    for place, shown in ((Path.cwd(), "."), (Path.home(), "~")):
        if place != Path(place.anchor):
            text = text.replace(str(place), shown)
    return text


def portable(argument: str) -> str:
    """Remove the folders of this machine from a command-line argument.

    >>> portable("--conf-file=/somewhere/else/dqn.yml")
    '--conf-file=dqn.yml'

    :param argument: a path outside the current and the home folder is reduced to its file name.
    """
    flag, equals, value = shorten_paths(argument).rpartition("=")
    return f"{flag}{equals}{Path(value).name if os.path.isabs(value) else value}"


def find_provenance() -> dict[str, Any]:
    """Return commit, versions and hardware of this process, as plain data."""
    return {
        "commit": find_commit(Path(sb3_atari_course.__file__).parent),
        "versions": installed_versions(),
        "hardware": describe_machine(),
    }


def find_commit(folder: Path) -> str | None:
    """Return the commit checked out in a folder, with ``-dirty`` if files were changed.

    :return: None without Git or a checkout.
    """
    describe = ["describe", "--always", "--abbrev=40", "--dirty", "--exclude", "*"]
    try:
        _git(folder, "ls-files", "--error-unmatch", ".")  # not installed inside another checkout
        return _git(folder, *describe)
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def describe_machine() -> str:
    """Return processor, cores, RAM and GPU on one line."""
    gpu = f", {th.cuda.get_device_name()}" if th.cuda.is_available() else ", no GPU"
    ram = round(psutil.virtual_memory().total / 2**30)
    return f"{_processor()}, {os.cpu_count()} cores, {ram} GB{gpu}"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = re.findall(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return names[0] if names else platform.machine()
