"""RL Zoo's own commands with our pieces: our hyperparameters without ``-conf``, clear errors."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import io
import math
import os
import re
import runpy
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

import gymnasium as gym
import rl_zoo3.utils
import torch as th
from gymnasium import spaces
from huggingface_sb3 import EnvironmentName, ModelName
from rl_zoo3 import ALGOS
from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.utils import SimpleLinearSchedule
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

from sb3_atari_course._common.cuda_device import check_card
from sb3_atari_course._common.errors import (
    CheckpointError,
    ReplayMemoryError,
    SettingError,
    TrainingFailedError,
    raised_at,
)
from sb3_atari_course._common.passwords import keep_in_memory, without_passwords
from sb3_atari_course._common.validation import integer_at_least
from sb3_atari_course.callbacks import CsvLog
from sb3_atari_course.checkpoints.callback import FREQUENCY, ExactCheckpoint
from sb3_atari_course.checkpoints.folder import hint_at_unfinished, how_to_resume
from sb3_atari_course.checkpoints.snapshot import KNOWN
from sb3_atari_course.cli.evaluate import add_device, add_exp_id, add_gym_packages
from sb3_atari_course.envs import (
    GRAY_SCREENS,
    find_spec,
    import_packages,
    is_atari,
    register_envs,
    warn_if_stacked_twice,
)
from sb3_atari_course.envs.native import NativeAtariVecEnv
from sb3_atari_course.envs.state.savable_env import SavableEnv
from sb3_atari_course.hyperparams import hyperparams_file, load_hyperparams
from sb3_atari_course.q_learning.schedules import VISITS
from sb3_atari_course.zoo.algorithms import OUR_ALGORITHMS, register_algorithms
from sb3_atari_course.zoo.entry_checks import (
    NamedValues,
    check_config,
    check_entry,
    check_env_kwargs,
)
from sb3_atari_course.zoo.provenance import note_provenance
from sb3_atari_course.zoo.run_folder import check_model, find_model, read_settings

#: Whose refusals during the start of a training are about its settings.
_HOSTS = ("rl_zoo3", "stable_baselines3", "sb3_contrib", "gymnasium", "ale_py")
_WRONG_ARGUMENTS = re.compile(r"unexpected keyword argument|missing \d+ required|must be a mapping")

#: Number of ``train`` -> the smallest one that makes sense, and others with a meaning of their own.
_LEAST: dict[str, tuple[int, dict[int, str]]] = {
    "n_timesteps": (1, {-1: "the yml's"}),
    "num_threads": (1, {-1: "PyTorch's own"}),
    "log_interval": (1, {-1: "SB3's own", -2: "none"}),
    "eval_episodes": (1, {}),
    "n_eval_envs": (1, {}),
    "checkpoint_freq": (0, {}),
    "verbose": (0, {}),
    "n_trials": (1, {}),
    "max_total_trials": (1, {}),
    "n_jobs": (1, {-1: "all cores"}),
    "n_startup_trials": (0, {}),
    "n_evaluations": (1, {}),
    "trial_id": (1, {}),  # RL Zoo takes 0 for none
}

#: Flags of ``record`` that RL Zoo's does not have.
_FLAGS_OF_RECORD = """In addition to RL Zoo's own flags, below:
  --gym-packages MODULE ...   modules to import that register environments
  --device DEVICE             PyTorch device (default auto)
The default of -f is logs here, and -n is the length of the video in agent steps.
"""

#: Algorithms that choose among finitely many actions.
_DISCRETE_ONLY = ("dqn", "qrdqn", *OUR_ALGORITHMS)


class CourseExperimentManager(ExperimentManager):
    """RL Zoo's experiment, with our hyperparameters by default and SB3's log as CSV.

    Where it differs: our yml is read, if it knows the environment, unless ``-conf`` names another;
    ``env_kwargs`` of a yml reach the evaluation environment too, and those of the command line are
    added to them instead of replacing them; continuous actions are refused
    before training if the algorithm needs discrete ones; the run folder gets a ``progress.csv``, a
    note of commit, versions and machine, and exact checkpoints where the algorithm is one of those
    that can be resumed.
    """

    #: Agent steps between two checkpoints; 0 for none.
    checkpoint_freq = FREQUENCY

    #: Folders that were not there before the training.
    _new_folders: Sequence[Path] = ()

    def __init__(self, args: Any, algo: str, env_id: str, *positional: Any, **kwargs: Any) -> None:
        self._vec_envs: list[VecEnv] = []
        find_spec(env_id)
        if not kwargs.get("config"):
            kwargs["config"] = _our_file(algo, env_id)
        super().__init__(args, algo, env_id, *positional, **kwargs)

    def read_hyperparameters(self) -> Any:
        """Read the yml, name what it lacks, and add ``--env-kwargs`` to those of the yml."""
        given, self.env_kwargs = self.env_kwargs, {}
        is_given = bool(given)
        if self.default_vec_env_cls is not None and self._is_atari:
            given = {**GRAY_SCREENS, **given}  # what native games show; noted for evaluate
        env_id = self.env_name.gym_id
        try:
            hyperparams, saved = super().read_hyperparameters()
        except SettingError:
            raise
        except Exception:
            advice = "add one"
            if self.algo == "q_learning" and self._is_atari:
                advice = "no table has a row for each screen, choose dqn or qrdqn"
            check_config(self.config, env_id, is_game=self._is_atari, advice=advice)
            raise
        check_entry(hyperparams, self.algo, self._place)
        saved.update(hyperparams)
        check_env_kwargs(
            hyperparams.get("env_kwargs"), env_id, lambda name: self._place(f"env_kwargs.{name}")
        )
        is_in_yml = bool(hyperparams.get("env_kwargs"))
        check_env_kwargs(given, env_id, lambda name: f"--env-kwargs {name}:")
        check_env_kwargs(
            self._eval_env_kwargs_args, env_id, lambda name: f"--eval-env-kwargs {name}:"
        )
        if given:
            both = {**(hyperparams.get("env_kwargs") or {}), **given}
            hyperparams["env_kwargs"] = saved["env_kwargs"] = self.args.env_kwargs = both
        if is_given or is_in_yml:
            place = "--env-kwargs " if is_given else self._place("env_kwargs")
            self._try_kwargs(place, hyperparams["env_kwargs"])
        self._try_kwargs("--eval-env-kwargs ", self._eval_env_kwargs_args)
        return hyperparams, saved

    def _try_kwargs(self, place: str, kwargs: dict[str, Any] | None) -> None:
        """Make one environment, whose constructor may refuse its arguments by any error."""
        if not kwargs:
            return
        env_id = self.env_name.gym_id
        try:
            gym.make(env_id, **kwargs).close()
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise SettingError(
                f"{place}{kwargs}: {env_id} cannot be made with it: {reason}"
            ) from error

    def load_trial(self, storage: str, study_name: str, *args: Any, **kwargs: Any) -> Any:
        """Load the hyperparameters of a trial, from a storage that is there already."""
        shown = without_passwords(storage)
        try:
            file = Path(storage)
            if not storage.endswith(".log"):
                url = make_url(storage)
                file = Path(url.database or "") if url.get_backend_name() == "sqlite" else Path()
            is_file = file != Path() and not str(file).startswith((":memory:", "file:"))
            if is_file and not file.is_file():  # Optuna would make it
                raise SettingError(f"--storage {shown}: there is no file {file}")
            return super().load_trial(storage, study_name, *args, **kwargs)
        except (KeyError, IndexError) as error:
            raise SettingError(
                f"--storage has no trial {self.trial_id} of study {study_name!r}"
            ) from error
        except (SQLAlchemyError, ImportError) as error:  # no server, no driver
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise SettingError(f"--storage: cannot open {shown}: {reason}") from None

    def _place(self, key: str) -> str:
        """Return where a hyperparameter was given, as the beginning of a message."""
        if key.partition(".")[0] in (self.custom_hyperparams or {}):
            return f"-params {key}:"
        return f"{self.config}: {key}: "

    def setup_experiment(self) -> Any:
        """Build environments and model; if that fails, nothing is left of it."""
        try:
            return super().setup_experiment()
        except BaseException:
            self._leave_nothing()
            raise

    def create_log_folder(self) -> None:
        """Make the run folder, and remember what was not there before."""
        paths = [Path(path) for path in (self.save_path, self.tensorboard_log) if path]
        every = [folder for path in paths for folder in (path, *path.parents)]
        self._new_folders = [folder for folder in every if not folder.exists()]
        for folder, flag in ((self.save_path, "-f"), (self.tensorboard_log, "-tb")):
            if not folder:
                continue
            try:
                Path(folder).mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
            except OSError as error:
                raise SettingError(
                    f"cannot write {folder}: {error.strerror}; choose another folder with {flag}"
                ) from None
        super().create_log_folder()  # type: ignore[no-untyped-call]

    def _leave_nothing(self, model: BaseAlgorithm | None = None) -> None:
        """Close the environments and delete the folders of a training that has not begun.

        :param model: what was built, with TensorBoard's folder.
        """
        for vec_env in self._vec_envs:
            with contextlib.suppress(Exception):
                vec_env.close()
        if Path(self.save_path) not in self._new_folders:  # resumed, or without a folder
            return
        shutil.rmtree(self.save_path, ignore_errors=True)
        if model is not None and self.tensorboard_log and hasattr(model, "_logger"):
            model.logger.close()
            shutil.rmtree(str(model.logger.dir), ignore_errors=True)
        for folder in self._new_folders:  # the innermost first
            with contextlib.suppress(OSError):
                folder.rmdir()  # unless it is in use

    def _preprocess_hyperparams(self, hyperparams: dict[str, Any]) -> Any:
        if self.n_timesteps > 0:
            hyperparams.setdefault("n_timesteps", self.n_timesteps)  # RL Zoo wants to delete it
        elif "n_timesteps" not in hyperparams:
            raise SettingError(
                f"{self.config} has no n_timesteps for {self.env_name.gym_id}: add it, or give the"
                " number of agent steps by -n"
            )
        result = super()._preprocess_hyperparams(hyperparams)
        if self._eval_env_kwargs_args is None:
            self.eval_env_kwargs = self.env_kwargs
        return result

    @staticmethod
    def _preprocess_schedules(hyperparams: dict[str, Any]) -> dict[str, Any]:
        """Make schedules of ``lin_...``, of our keys too; leave ``learning_rate: visits`` alone."""
        ours: dict[str, Any] = {}
        for key in ("learning_rate", "exploration"):
            word = hyperparams.get(key)
            if (key, word) == ("learning_rate", VISITS):
                ours[key] = hyperparams.pop(key)
            elif isinstance(word, str):
                ours[key] = SimpleLinearSchedule(hyperparams.pop(key).partition("_")[2])
        return {**ExperimentManager._preprocess_schedules(hyperparams), **ours}

    def create_envs(self, *args: Any, **kwargs: Any) -> VecEnv:
        """Create the environments, and refuse continuous actions where they cannot be used."""
        wrapper = self.env_wrapper
        if self.vec_env_class is SubprocVecEnv:
            if not self._vec_envs:
                self._try_one()
            self.env_wrapper = partial(_wrap_savable, wrapper=wrapper)
        try:
            vec_env: VecEnv = super().create_envs(*args, **kwargs)
        except Exception as error:
            setting = _refused_setting(error)
            if setting is None or not self.env_kwargs:
                raise
            raise SettingError(f"env_kwargs {self.env_kwargs}: {setting}") from error
        self._vec_envs.append(vec_env)
        warn_if_stacked_twice(vec_env)
        self.env_wrapper = wrapper
        if isinstance(vec_env.unwrapped, NativeAtariVecEnv):
            self._check_native(vec_env)
        if self.algo in _DISCRETE_ONLY and not isinstance(vec_env.action_space, spaces.Discrete):
            vec_env.close()
            bins = "{sb3_atari_course.wrappers.DiscretizeActions: {n_bins: 11}}"
            if self.algo == "q_learning":
                bins += ", {sb3_atari_course.wrappers.DiscretizeObservations: {n_bins: 10}}"
            raise ValueError(
                f"{self.env_name.gym_id} has the actions {vec_env.action_space}, but {self.algo}"
                f" chooses among discrete ones: add to its env_wrapper {bins}"
            )
        return vec_env

    def _try_one(self) -> None:
        """Make one environment here: of an error in a process of its own only EOF would be seen."""
        with gym.make(self.env_name.gym_id, **(self.env_kwargs or {})) as env:
            if self.env_wrapper is not None:
                self.env_wrapper(env)

    def _preprocess_action_noise(
        self, hyperparams: dict[str, Any], saved_hyperparams: dict[str, Any], env: VecEnv
    ) -> Any:
        """Make the action noise; before, refuse a policy that does not fit the observations."""
        policy, space = str(hyperparams.get("policy")), env.observation_space
        is_for_dict = policy.startswith("MultiInput")
        is_named = is_for_dict or policy.startswith(("MlpPolicy", "CnnPolicy"))
        is_fit = is_for_dict == isinstance(space, spaces.Dict)
        if is_named and not is_fit and not self.continue_training:
            what = "is for" if is_for_dict else "is not for"
            raise SettingError(
                f"{self._place('policy')}{policy!r} {what} observations of a Dict space, but"
                f" {self.env_name.gym_id} has {space}: choose another policy"
            )
        return super()._preprocess_action_noise(hyperparams, saved_hyperparams, env)

    def _load_pretrained_agent(self, hyperparams: dict[str, Any], env: VecEnv) -> BaseAlgorithm:
        """Load ``--trained-agent``; what cannot be loaded was not trained like that."""
        try:
            model: BaseAlgorithm = super()._load_pretrained_agent(hyperparams, env)
        except (SettingError, CheckpointError):
            raise
        except (AssertionError, AttributeError, LookupError, RuntimeError, TypeError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise SettingError(
                f"--trained-agent {self.trained_agent}: cannot be loaded as an agent of"
                f" {self.algo} with these hyperparameters: {reason}"
            ) from error
        return model

    def _check_native(self, vec_env: VecEnv) -> None:
        """Refuse native games that press FIRE where that spoils learning."""
        games: NativeAtariVecEnv = vec_env.unwrapped  # type: ignore[assignment]
        if games.fire_action is not None and issubclass(ALGOS[self.algo], OnPolicyAlgorithm):
            vec_env.close()
            raise ValueError(
                f"{self.algo} keeps the probability of the action that it chose, but native games"
                " press FIRE instead where a life begins: set fire_on_reset: false for wrap_atari"
                " in env_wrapper, or take --vec-env dummy"
            )

    def _save_config(self, saved_hyperparams: dict[str, Any]) -> None:
        folder = Path(self.params_path)
        begins = not (folder / "config.yml").exists()  # else it is resumed
        # RL Zoo writes both into args.yml and command.txt
        vars(self.args).update(without_passwords(vars(self.args)))
        sys.orig_argv[:] = without_passwords(sys.orig_argv)
        super()._save_config(saved_hyperparams)
        if begins:
            note_provenance(folder)

    def hyperparameters_optimization(self) -> None:
        """Search, without the password of ``--storage`` in the study, which RL Zoo pickles."""
        sys.orig_argv[:] = without_passwords(sys.orig_argv)
        if self.storage is not None:
            self.storage = keep_in_memory(self.storage)
        super().hyperparameters_optimization()

    def learn(self, model: BaseAlgorithm) -> None:
        """Train, with the log and the checkpoints in the run folder."""
        self.callbacks.append(CsvLog(self.save_path))
        if not self._own_checkpoints() and self.checkpoint_freq > 0 and isinstance(model, KNOWN):
            self.callbacks.append(ExactCheckpoint(self.checkpoint_freq))
        self._warn_of_late_start(model)
        try:
            super().learn(model)
        except Exception as error:
            is_start = model.num_timesteps <= model.n_envs  # the step that failed is counted
            is_ours = isinstance(error, (SettingError, ReplayMemoryError, CheckpointError))
            setting = _refused_setting(error) if is_start and not is_ours else None
            is_machine = isinstance(error, OSError) and not is_ours  # a full disk, for example
            is_undone = is_start and (setting is not None or not is_machine)
            if is_undone:
                self._leave_nothing(model)
            if setting is not None:
                raise setting from error
            if is_ours:
                raise
            where = "at its first step" if is_undone else f"in {self.save_path}"
            raise TrainingFailedError(f"training {where} failed: {error}") from error
        if model.num_timesteps < self.n_timesteps and self._stop_signal() is None:
            print(f"stopped after {model.num_timesteps} of {self.n_timesteps} steps")

    def _warn_of_late_start(self, model: BaseAlgorithm) -> None:
        """Warn of a training that is over before learning starts."""
        if not isinstance(model, OffPolicyAlgorithm):
            return
        n_steps, train_freq = self.n_timesteps, model.train_freq
        assert isinstance(train_freq, TrainFreq)
        if train_freq.unit == TrainFrequencyUnit.STEP:  # the last rollout is played to its end
            rollout = train_freq.frequency * model.n_envs
            n_steps = math.ceil(n_steps / rollout) * rollout
        if n_steps <= model.learning_starts:
            print(
                f"sb3-atari: warning: learning_starts is {model.learning_starts}, so a training of"
                f" {self.n_timesteps} steps learns nothing: train for longer (-n), or start earlier"
                f" (-params learning_starts:{early_start(self.n_timesteps)})",
                file=sys.stderr,
            )

    def save_trained_model(self, model: BaseAlgorithm) -> None:
        """Save the model; after a signal end with the exit status that tells so."""
        super().save_trained_model(model)
        number = self._stop_signal()
        if number is not None:
            if all(one.stop_signal is None for one in self._own_checkpoints()):  # stopped at once
                print(f"To resume: {how_to_resume(Path(self.save_path))}")
            raise SystemExit(128 + number)

    def _stop_signal(self) -> int | None:
        """Return the number of the signal that has stopped the training, None if none did."""
        return next((one.received_signal for one in self._own_checkpoints()), None)

    def _own_checkpoints(self) -> list[ExactCheckpoint]:
        return [one for one in self.callbacks if isinstance(one, ExactCheckpoint)]


def _refused_setting(error: Exception) -> SettingError | None:
    """Return what RL Zoo, SB3, Gymnasium or the disk refuse; None for an error of another kind."""
    if isinstance(error, OSError) and error.filename is not None:
        return SettingError(f"{error.filename}: {error.strerror}")
    # Gymnasium raises any TypeError of an environment's constructor once more
    first = error.__cause__ if isinstance(error, TypeError) and error.__cause__ else error
    package, is_on_purpose = raised_at(first)
    if isinstance(first, TypeError) and _WRONG_ARGUMENTS.search(str(first)):
        is_on_purpose = True
    if isinstance(first, RuntimeError) and package == "ale_py":  # from C++
        is_on_purpose = True
    return SettingError(str(error)) if package in _HOSTS and is_on_purpose and str(error) else None


@contextlib.contextmanager
def refusals_of_hosts() -> Iterator[None]:
    """Let what RL Zoo, SB3 and Gymnasium refuse be a wrong setting; other errors stay as they are.

    :raises SettingError: with their text.
    """
    try:
        yield
    except Exception as error:
        setting = _refused_setting(error)
        if setting is None:
            raise
        raise setting from error


def _wrap_savable(env: gym.Env[Any, Any], *, wrapper: Any) -> gym.Env[Any, Any]:
    """Put our wrapper outside of all others, so that checkpoints reach a worker process."""
    return SavableEnv(env if wrapper is None else wrapper(env))


def _our_file(algo: str, env_id: str) -> str | None:
    """Return our yml if it knows the environment or the algorithm is ours, None for RL Zoo's."""
    try:
        path = hyperparams_file(algo)
    except FileNotFoundError:
        return None
    known = load_hyperparams(algo)
    ours = algo in OUR_ALGORITHMS or env_id in known or ("atari" in known and is_atari(env_id))
    return str(path) if ours else None


def _register() -> None:
    register_envs()
    register_algorithms()


def _take_native() -> bool:
    """Take ``--vec-env native``, which RL Zoo's parser does not know, out of ``sys.argv``."""
    for i, argument in enumerate(sys.argv):
        if argument == "--vec-env=native":
            del sys.argv[i]
            return True
        if sys.argv[i : i + 2] == ["--vec-env", "native"]:
            del sys.argv[i : i + 2]
            return True
    return False


def _play_natively_if_asked() -> None:
    if _take_native():
        importlib.import_module("sb3_atari_course.native_zoo")


class TrainParser(argparse.ArgumentParser):
    """The parser of RL Zoo's ``train``, with our flags too; it refuses what cannot be trained."""

    def __init__(self) -> None:
        super().__init__(prog=sys.argv[0])
        self.add_argument(
            "--checkpoint-freq",
            type=int,
            default=FREQUENCY,
            help=f"Agent steps between two checkpoints for resume (default {FREQUENCY}; 0: none);"
            " dqn, qrdqn, fast_dqn, q_learning",
        )

    def add_argument(self, *names: Any, **kwargs: Any) -> argparse.Action:
        """Add a flag of RL Zoo, with ``native`` among the kinds of vector environments."""
        if "--vec-env" in names:
            kwargs["choices"] = [*kwargs["choices"], "native"]
            kwargs["help"] = "VecEnv type; native: Atari games in ale-py's C++ threads"
        if kwargs.get("type") is bool:  # bool("False") is true
            kwargs["type"] = _true_or_false
        return super().add_argument(*names, **kwargs)

    def parse_args(self, *args: Any) -> argparse.Namespace:  # type: ignore[override]
        """Read the command line.

        :raises SettingError: for a module, environment, device or agent that is not there, and for
            a number out of range.
        """
        given: argparse.Namespace = super().parse_args(*args)
        import_packages(given.gym_packages)
        find_spec(given.env)
        for name, (least, others) in _LEAST.items():
            value = getattr(given, name)
            if value is not None and value < least and value not in others:
                flag = "-n" if name == "n_timesteps" else f"--{name.replace('_', '-')}"
                meanings = "".join(f", or {other} ({what})" for other, what in others.items())
                raise SettingError(f"{flag} {value}: has to be at least {least}{meanings}")
        if given.seed >= 2**32:
            raise SettingError(f"--seed {given.seed}: has to be below 2**32")
        check_device(given.device)
        agent = given.trained_agent
        if agent and not (agent.endswith(".zip") and Path(agent).is_file()):
            raise SettingError(f"--trained-agent {agent}: there is no such .zip file")
        CourseExperimentManager.checkpoint_freq = vars(given).pop("checkpoint_freq")
        if given.vec_env == "native":
            importlib.import_module("sb3_atari_course.native_zoo")
            given.vec_env = "dummy"  # RL Zoo's name; the module has set another class
        hint_at_unfinished(Path(given.log_folder) / given.algo, EnvironmentName(given.env))
        return given


def check_device(device: str) -> None:
    """Refuse a ``--device`` that PyTorch does not know.

    Without any GPU SB3 takes the CPU for ``cuda``, and so do we.

    :raises SettingError: for one that is not there.
    """
    if not device.startswith("cuda") or th.cuda.is_available():
        check_card("--device", device)


def early_start(n_timesteps: int) -> int:
    """Return a ``learning_starts`` that leaves a short training something to learn."""
    return min(max(1, n_timesteps // 10), n_timesteps - 1)


def _true_or_false(text: str) -> bool:
    try:
        return {"true": True, "false": False}[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"has to be True or False, got {text!r}") from None


@refusals_of_hosts()
def train() -> None:
    """Run RL Zoo's ``train`` on ``sys.argv``, with our parser and experiment manager."""
    from rl_zoo3 import train as rl_zoo3_train

    _register()
    # RL Zoo's train() builds them itself and offers no argument (2.9.2)
    module: Any = rl_zoo3_train
    module.argparse = SimpleNamespace(ArgumentParser=TrainParser)
    module.StoreDict = NamedValues
    module.ExperimentManager = CourseExperimentManager
    rl_zoo3_train.train()


@refusals_of_hosts()
def enjoy() -> None:
    """Run RL Zoo's ``enjoy`` on ``sys.argv``, with a run found as ``evaluate`` finds it."""
    import rl_zoo3.enjoy

    _play_natively_if_asked()
    flags = _find_agent(_play_parser(), downloads="rl-trained-agents")
    if flags is not None and not flags.no_render:
        _check_display()
    with _taking(flags, rl_zoo3.enjoy):
        rl_zoo3.enjoy.enjoy()


@refusals_of_hosts()
def record() -> None:
    """Run RL Zoo's ``record_video`` on ``sys.argv``, with a run found as ``evaluate`` finds it.

    The video appears, whole, when it is finished; Ctrl-C or an error leaves nothing.
    """
    try:
        import moviepy  # noqa: F401  # asked for here, not after the model was loaded
    except ImportError:
        raise ImportError(
            'recording needs the extra "video": pip install "sb3_atari_course[video]"'
        ) from None
    if _take_native():
        raise ValueError("record films one game in colour: leave --vec-env native out")
    parser = _play_parser()
    parser.add_argument("-o", "--output-folder")
    add_device(parser)
    flags = _find_agent(parser)
    if flags is None:
        print(_FLAGS_OF_RECORD)
        _run_record()
        return
    folder = Path(flags.output_folder or flags.run / "videos")
    # of SB3's recorder when it is deleted after an error, which has been reported already
    warnings.filterwarnings("ignore", ".*Unable to save last video")
    with _taking(flags, rl_zoo3.utils), _video_aside(folder) as aside:
        sys.argv += ["-o", str(aside)]
        _run_record(flags.n_timesteps)


def _play_parser() -> argparse.ArgumentParser:
    """Return a parser of the flags that choose an agent, and of those that are checked here."""
    parser = argparse.ArgumentParser(prog=sys.argv[0], add_help=False)
    parser.add_argument("--algo", default="ppo")
    parser.add_argument("--env", default="CartPole-v1")
    parser.add_argument("-f", "--folder", default="logs")
    add_exp_id(parser)
    parser.add_argument("--load-best", action="store_true")
    parser.add_argument("--load-checkpoint", type=int)
    parser.add_argument("--load-last-checkpoint", action="store_true")
    add_gym_packages(parser)
    parser.add_argument("-n", "--n-timesteps", type=int, default=1000)
    parser.add_argument("--n-envs", type=int, default=1)
    parser.add_argument("--no-render", action="store_true")
    return parser


def _find_agent(
    parser: argparse.ArgumentParser, *, downloads: str | None = None
) -> argparse.Namespace | None:
    """Find the agent that ``sys.argv`` asks for, and leave there what RL Zoo has to know.

    :param downloads: folder of which RL Zoo downloads an agent that is not there.
    :return: the flags, with ``run`` and ``model_path`` (None: of an agent that RL Zoo downloads);
        None if only ``--help`` is wanted.
    :raises ValueError: for a wrong flag, if there is no such agent or its files are damaged.
    """
    _register()
    if {"-h", "--help"} & set(sys.argv):
        return None
    flags, others = parser.parse_known_args(sys.argv[1:])
    import_packages(flags.gym_packages)
    find_spec(flags.env)
    integer_at_least(1, "--n-timesteps", flags.n_timesteps)
    integer_at_least(1, "--n-envs", flags.n_envs)
    flags.run = None
    try:
        flags.run, flags.model_path = find_model(
            flags.algo,
            flags.env,
            flags.folder,
            exp_id=flags.exp_id,
            load_best=flags.load_best,
            load_checkpoint=flags.load_checkpoint,
            load_last_checkpoint=flags.load_last_checkpoint,
        )
    except ValueError:
        if downloads is None or downloads not in flags.folder:
            raise
        return flags
    check_model(flags.model_path)
    settings = flags.run / EnvironmentName(flags.env)
    _, arguments = read_settings(settings, to_play=True)
    if arguments and "env_kwargs" not in arguments:  # which RL Zoo reads
        raise ValueError(f"{settings / 'args.yml'} has no env_kwargs: add `env_kwargs: null`")
    sys.argv[1:] = ["--algo", flags.algo, "--env", flags.env, "-f", flags.folder]
    sys.argv += ["-n", str(flags.n_timesteps), "--n-envs", str(flags.n_envs)]
    sys.argv += ["--no-render"] * flags.no_render + others
    return flags


@contextlib.contextmanager
def _taking(flags: argparse.Namespace | None, module: Any) -> Iterator[None]:
    """Let RL Zoo take the agent that was found, on the device that was asked for.

    RL Zoo 2.9.2 has no flag for a folder of ``--uuid``, and ``record_video`` none for a device; it
    looks for the model by a function and for its algorithm in a dictionary, which are ours here.

    :param module: where RL Zoo's command has its ``get_model_path`` from.
    """
    if flags is None or flags.run is None:
        yield
        return
    checkpoint = re.fullmatch(r"rl_model_(\d+)_steps", flags.model_path.stem)
    kind = f"checkpoint-{checkpoint[1]}" if checkpoint else "final-model"
    kind = "best-model" if flags.model_path.stem == "best_model" else kind
    found = f"{kind}-{ModelName(flags.algo, EnvironmentName(flags.env))}"
    get_model_path, algorithm = module.get_model_path, ALGOS[flags.algo]
    module.get_model_path = lambda *_: (found, str(flags.model_path), str(flags.run))
    if "device" in flags:
        placed: Any = SimpleNamespace(load=partial(algorithm.load, device=flags.device))
        ALGOS[flags.algo] = placed
    try:
        yield
    finally:
        module.get_model_path, ALGOS[flags.algo] = get_model_path, algorithm


def _check_display() -> None:
    """Refuse to open a window without a display: SDL then draws off screen, in silence.

    :raises ValueError: where there is no display.
    """
    asked = os.environ.get("SDL_VIDEODRIVER")
    displays = ("DISPLAY", "WAYLAND_DISPLAY")
    problem = None
    if sys.platform not in ("win32", "darwin") and not asked and not any(map(os.getenv, displays)):
        problem = "DISPLAY and WAYLAND_DISPLAY are not set"
    elif importlib.util.find_spec("pygame") is not None:
        pygame = importlib.import_module("pygame")
        try:
            pygame.display.init()
            if not asked and pygame.display.get_driver() in ("offscreen", "dummy"):
                problem = "SDL cannot open the one that DISPLAY or WAYLAND_DISPLAY names"
            pygame.display.quit()
        except pygame.error as error:
            problem = str(error)
    if problem is not None:
        raise ValueError(
            f"there is no display ({problem}): take --no-render for the scores only, or make a"
            " video with the record command"
        )


class _FinishedPaths(io.TextIOBase):
    """Standard output that shows where files will be when they are finished.

    SB3 and MoviePy print the path that they write to.

    :param aside: name of the folder in which they are until then.
    """

    def __init__(self, stdout: TextIO, aside: str) -> None:
        self._stdout, self._aside = stdout, f"{aside}{os.sep}"

    def write(self, text: str) -> int:
        self._stdout.write(text.replace(self._aside, ""))
        return len(text)

    def flush(self) -> None:
        self._stdout.flush()


@contextlib.contextmanager
def _video_aside(folder: Path) -> Iterator[Path]:
    """Give a folder for a video that is not finished; what is in it at the end goes to ``folder``.

    :raises ValueError: if nothing can be written there.
    """
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=folder) as aside:
            with contextlib.redirect_stdout(_FinishedPaths(sys.stdout, Path(aside).name)):
                yield Path(aside)
            for video in sorted(Path(aside).iterdir()):
                os.replace(video, folder / video.name)
                print(f"video: {folder / video.name}")
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise ValueError(
            f"the video cannot be written into {folder} ({reason}): choose another folder with -o"
        ) from error
    finally:
        for one in made:  # the innermost first
            with contextlib.suppress(OSError):
                one.rmdir()  # if nothing came into it


def _run_record(n_steps: int | None = None) -> None:
    """Run RL Zoo's script.

    :param n_steps: agent steps of the video; None if none is made.
    :raises KeyboardInterrupt: after Ctrl-C, upon which the script ends as if all were well.
    """
    interrupts = []

    def interrupt(number: int, frame: Any) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before != signal.SIG_IGN:  # of a job in the background
        signal.signal(signal.SIGINT, interrupt)
    try:
        made = runpy.run_module("rl_zoo3.record_video", run_name="__main__")
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupts or (n_steps is not None and made["env"].step_id < n_steps):
        raise KeyboardInterrupt
