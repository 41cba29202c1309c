"""RL Zoo's experiment manager with our hyperparameters, logs, checkpoints and clear errors."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch as th
from gymnasium import spaces
from rl_zoo3 import ALGOS
from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.utils import SimpleLinearSchedule
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

from sb3_atari_course._common.errors import (
    CheckpointError,
    ReplayMemoryError,
    SettingError,
    TrainingFailedError,
    raised_at,
)
from sb3_atari_course._common.passwords import without_passwords
from sb3_atari_course._common.validation import check_cuda_device
from sb3_atari_course.callbacks import CsvLog
from sb3_atari_course.checkpoints.callback import FREQUENCY, ExactCheckpoint
from sb3_atari_course.checkpoints.folder import how_to_resume
from sb3_atari_course.checkpoints.snapshot import SUPPORTED
from sb3_atari_course.envs import (
    GRAY_SCREENS,
    find_spec,
    is_atari,
    warn_if_stacked_twice,
)
from sb3_atari_course.envs.env_state import SavableEnv
from sb3_atari_course.envs.native import NativeAtariVecEnv
from sb3_atari_course.hyperparams import ALGORITHMS, hyperparams_file, load_hyperparams
from sb3_atari_course.q_learning.schedules import VISITS
from sb3_atari_course.zoo.algorithms import OUR_ALGORITHMS
from sb3_atari_course.zoo.hyperparameter_checks import (
    check_entry,
    check_env_kwargs,
    unreadable_config,
)
from sb3_atari_course.zoo.run_folder import note_provenance, portable

#: Whose refusals during the start of a training are about its settings.
_HOSTS = ("rl_zoo3", "stable_baselines3", "sb3_contrib", "gymnasium", "ale_py")
_WRONG_ARGUMENTS = re.compile(
    r"unexpected keyword argument|multiple values|missing \d+ required|must be a mapping"
)


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
        if self.default_vec_env_cls is not None and self._is_atari:
            given = {**GRAY_SCREENS, **given}  # what native games show; noted for evaluate
        env_id = self.env_name.gym_id
        try:
            hyperparams, saved = super().read_hyperparameters()
        except SettingError:
            raise
        except Exception as error:
            advice = "add one"
            if self.algo == "q_learning" and self._is_atari:
                advice = "no table has a row for each screen, choose dqn or qrdqn"
            raise unreadable_config(error, self.config, env_id, advice) from error
        check_entry(hyperparams, self.algo, self._place)
        saved.update(hyperparams)
        if given:
            both = {**(hyperparams.get("env_kwargs") or {}), **given}
            hyperparams["env_kwargs"] = saved["env_kwargs"] = self.args.env_kwargs = both
        check_env_kwargs(hyperparams.get("env_kwargs"), env_id, "env_kwargs")
        check_env_kwargs(self._eval_env_kwargs_args, env_id, "eval_env_kwargs")
        return hyperparams, saved

    def load_trial(self, storage: str, study_name: str, *args: Any, **kwargs: Any) -> Any:
        """Load the hyperparameters of a trial; without it say what is missing."""
        try:
            return super().load_trial(storage, study_name, *args, **kwargs)
        except (KeyError, IndexError, OSError, ImportError, SQLAlchemyError) as error:
            reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
            raise SettingError(
                f"--storage {without_passwords(storage)}: trial {self.trial_id} of study"
                f" {study_name!r} cannot be read: {reason}"
            ) from None

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
        """Make schedules of ``lin_...``, of exploration too; leave ``visits`` alone."""
        visits = {"learning_rate": VISITS} if hyperparams.get("learning_rate") == VISITS else {}
        exploration = hyperparams.get("exploration")
        if isinstance(exploration, str):
            hyperparams["exploration"] = SimpleLinearSchedule(exploration.removeprefix("lin_"))
        others = {key: value for key, value in hyperparams.items() if key not in visits}
        return {**ExperimentManager._preprocess_schedules(others), **visits}

    def create_envs(self, *args: Any, **kwargs: Any) -> VecEnv:
        """Create the environments, and refuse continuous actions where they cannot be used."""
        wrapper = self.env_wrapper
        if self.vec_env_class is SubprocVecEnv:
            if not self._vec_envs:
                self._try_one()
            self.env_wrapper = partial(_wrap_savable, wrapper=wrapper)
        vec_env: VecEnv = super().create_envs(*args, **kwargs)
        self._vec_envs.append(vec_env)
        warn_if_stacked_twice(vec_env.observation_space)
        self.env_wrapper = wrapper
        if isinstance(vec_env.unwrapped, NativeAtariVecEnv):
            self._check_native(vec_env)
        if self.algo in ALGORITHMS and not isinstance(vec_env.action_space, spaces.Discrete):
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
        sys.orig_argv[:] = [portable(word) for word in without_passwords(sys.orig_argv)]
        super()._save_config(saved_hyperparams)
        if begins:
            note_provenance(folder)

    def hyperparameters_optimization(self) -> None:
        """Search, without the password of ``--storage`` in the study, which RL Zoo pickles.

        :raises SettingError: if the replay buffer would not follow the gamma of a trial.
        """
        n_steps = (self._hyperparams.get("replay_buffer_kwargs") or {}).get("n_steps", 1)
        if n_steps > 1 and self.algo != "fast_dqn":
            self._leave_nothing()
            raise SettingError(
                f"-optimize samples gamma, but the replay buffer with n_steps: {n_steps} discounts"
                " by its own: set n_steps to 1, or take our `tune`, or --algo fast_dqn"
            )
        sys.orig_argv[:] = without_passwords(sys.orig_argv)
        if self.storage is not None and without_passwords(self.storage) != self.storage:
            # where the driver of PostgreSQL looks for it
            os.environ["PGPASSWORD"] = make_url(self.storage).password or ""
            self.storage = without_passwords(self.storage)
        super().hyperparameters_optimization()

    def learn(self, model: BaseAlgorithm) -> None:
        """Train, with the log and the checkpoints in the run folder."""
        self.callbacks.append(CsvLog(self.save_path))
        if (
            not self._own_checkpoints()
            and self.checkpoint_freq > 0
            and isinstance(model, SUPPORTED)
        ):
            self.callbacks.append(ExactCheckpoint(self.checkpoint_freq))
        self._warn_of_late_start(model)
        try:
            super().learn(model)
        except Exception as error:
            is_start = model.num_timesteps <= model.n_envs  # the step that failed is counted
            refusal: Exception | None = None
            if isinstance(error, (SettingError, ReplayMemoryError, CheckpointError)):
                refusal = error
            elif is_start:
                refusal = _refused_setting(error)
            if refusal is None:
                where = self.save_path
                raise TrainingFailedError(f"training in {where} failed: {error}") from error
            if is_start:
                self._leave_nothing(model)
            if refusal is error:
                raise
            raise refusal from error
        if model.num_timesteps < self.n_timesteps and self._stop_signal() is None:
            print(f"stopped after {model.num_timesteps} of {self.n_timesteps} steps")

    def _warn_of_late_start(self, model: BaseAlgorithm) -> None:
        """Warn of a training that is over before learning starts."""
        if not isinstance(model, OffPolicyAlgorithm) or self.n_timesteps > model.learning_starts:
            return
        print(
            f"sb3-atari: warning: learning_starts is {model.learning_starts}, so a training of"
            f" {self.n_timesteps} steps learns little or nothing: train for longer (-n), or"
            f" start earlier (-params learning_starts:{early_start(self.n_timesteps)})",
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


def check_device(device: str) -> None:
    """Refuse a ``--device`` that PyTorch does not know.

    Without any GPU SB3 takes the CPU for ``cuda``, and so do we.

    :raises SettingError: for one that is not there.
    """
    if not device.startswith("cuda") or th.cuda.is_available():
        check_cuda_device("--device", device)


def early_start(n_timesteps: int) -> int:
    """Return a ``learning_starts`` that leaves a short training something to learn."""
    return min(max(1, n_timesteps // 10), n_timesteps - 1)


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
    """Return our yml if it knows the environment or the algorithm is ours, None for RL Zoo's.

    FastDQN learns by DQN's where its own has no entry.
    """
    try:
        path = hyperparams_file(algo)
    except FileNotFoundError:
        return None
    known = load_hyperparams(algo)
    has_entry = env_id in known or ("atari" in known and is_atari(env_id))
    if algo == "fast_dqn" and not has_entry:
        return str(hyperparams_file("dqn"))
    return str(path) if has_entry or algo in OUR_ALGORITHMS else None
