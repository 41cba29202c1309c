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
from sb3_atari_course._common.validation import check_torch_device
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
from sb3_atari_course.zoo.run_folder import portable, write_provenance

#: Packages whose exceptions at the start of training are about its settings.
_LIBRARIES = ("rl_zoo3", "stable_baselines3", "sb3_contrib", "gymnasium", "ale_py")
_WRONG_ARGUMENTS = re.compile(
    r"unexpected keyword argument|multiple values|missing \d+ required|must be a mapping"
)


class CourseExperimentManager(ExperimentManager):
    """RL Zoo's ``ExperimentManager`` with our hyperparameters, checks, CSV log and checkpoints.

    Differences from RL Zoo:

    - Without ``-conf``, our yml is used if it has an entry for the environment; for ``fast_dqn``
      and ``q_learning`` always (``fast_dqn`` falls back to ``dqn.yml``).
    - ``env_kwargs`` of the yml apply to the evaluation environment too; ``--env-kwargs`` are merged
      into them instead of replacing them.
    - Continuous actions are rejected before training if the algorithm needs discrete ones.
    - The run folder gets a ``progress.csv``, a ``provenance.json`` (commit, versions, hardware)
      and, if the algorithm supports exact resume, checkpoints.
    """

    #: Agent steps between two checkpoints; 0 for none.
    checkpoint_freq = FREQUENCY

    #: Number of the run folder, ``ALGO/ENV_NUMBER``; None for the next one, as RL Zoo.
    run_number: int | None = None

    #: Folders that did not exist before this run.
    _new_folders: Sequence[Path] = ()

    def __init__(self, args: Any, algo: str, env_id: str, *positional: Any, **kwargs: Any) -> None:
        self._vec_envs: list[VecEnv] = []
        find_spec(env_id)
        if not kwargs.get("config"):
            kwargs["config"] = _our_file(algo, env_id)
        super().__init__(args, algo, env_id, *positional, **kwargs)
        if self.run_number is not None:
            self.save_path = os.path.join(self.log_path, f"{self.env_name}_{self.run_number}")
            self.params_path = f"{self.save_path}/{self.env_name}"

    def read_hyperparameters(self) -> Any:
        """Read and check the yml entry, and merge ``--env-kwargs`` into its ``env_kwargs``."""
        given, self.env_kwargs = self.env_kwargs, {}
        if self.default_vec_env_cls is not None and self._is_atari:
            given = {**GRAY_SCREENS, **given}  # as native environments; saved for evaluate
        env_id = self.env_name.gym_id
        try:
            hyperparams, saved = super().read_hyperparameters()
        except SettingError:
            raise
        except Exception as error:
            advice = "add one"
            if self.algo == "q_learning" and self._is_atari:
                advice = "a Q-table cannot enumerate Atari frames, choose dqn or qrdqn"
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
        """Load the hyperparameters of an Optuna trial.

        :raises SettingError: if the study or the trial cannot be read.
        """
        try:
            return super().load_trial(storage, study_name, *args, **kwargs)
        except (KeyError, IndexError, OSError, ImportError, SQLAlchemyError) as error:
            reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
            raise SettingError(
                f"--storage {without_passwords(storage)}: trial {self.trial_id} of study"
                f" {study_name!r} cannot be read: {reason}"
            ) from None

    def _place(self, key: str) -> str:
        """Return the prefix of an error message: where the hyperparameter was set."""
        if key.partition(".")[0] in (self.custom_hyperparams or {}):
            return f"-params {key}:"
        return f"{self.config}: {key}: "

    def setup_experiment(self) -> Any:
        """Build environments and model; on failure close and delete what was created."""
        try:
            return super().setup_experiment()
        except BaseException:
            self._clean_up()
            raise

    def create_log_folder(self) -> None:
        """Create the run folder, and remember which folders are new."""
        paths = [Path(path) for path in (self.save_path, self.tensorboard_log) if path]
        every = [folder for path in paths for folder in (path, *path.parents)]
        self._new_folders = [folder for folder in every if not folder.exists()]
        super().create_log_folder()  # type: ignore[no-untyped-call]

    def _clean_up(self, model: BaseAlgorithm | None = None) -> None:
        """Close the environments and delete the new folders of a run that failed to start.

        :param model: the model, if one was built: its TensorBoard folder is deleted too.
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
                f"{self.config} has no n_timesteps for {self.env_name.gym_id}: add it, or pass the"
                " number of agent steps with -n"
            )
        result = super()._preprocess_hyperparams(hyperparams)
        if self._eval_env_kwargs_args is None:
            self.eval_env_kwargs = self.env_kwargs
        return result

    @staticmethod
    def _preprocess_schedules(hyperparams: dict[str, Any]) -> dict[str, Any]:
        """Convert ``lin_...`` to schedules, ``exploration`` included; keep ``visits`` a string."""
        visits = {"learning_rate": VISITS} if hyperparams.get("learning_rate") == VISITS else {}
        exploration = hyperparams.get("exploration")
        if isinstance(exploration, str):
            hyperparams["exploration"] = SimpleLinearSchedule(exploration.removeprefix("lin_"))
        others = {key: value for key, value in hyperparams.items() if key not in visits}
        return {**ExperimentManager._preprocess_schedules(others), **visits}

    def create_envs(self, *args: Any, **kwargs: Any) -> VecEnv:
        """Create the vectorized environment.

        :raises ValueError: for continuous actions if the algorithm needs discrete ones.
        """
        wrapper = self.env_wrapper
        if self.vec_env_class is SubprocVecEnv:
            if not self._vec_envs:
                self._check_one_env()
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
                f"{self.env_name.gym_id} has the action space {vec_env.action_space}, but"
                f" {self.algo} needs discrete actions: add to its env_wrapper {bins}"
            )
        return vec_env

    def _check_one_env(self) -> None:
        """Create one environment in this process: a worker process would only report EOFError."""
        with gym.make(self.env_name.gym_id, **(self.env_kwargs or {})) as env:
            if self.env_wrapper is not None:
                self.env_wrapper(env)

    def _load_pretrained_agent(self, hyperparams: dict[str, Any], env: VecEnv) -> BaseAlgorithm:
        """Load ``--trained-agent``.

        :raises SettingError: if it does not fit the algorithm and hyperparameters.
        """
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
        """Reject on-policy algorithms on native environments that replace actions by FIRE."""
        native: NativeAtariVecEnv = vec_env.unwrapped  # type: ignore[assignment]
        if native.fire_action is not None and issubclass(ALGOS[self.algo], OnPolicyAlgorithm):
            vec_env.close()
            raise ValueError(
                f"{self.algo} needs the log-probability of the executed action, but native"
                " environments replace the first action of each life by FIRE: set"
                " fire_on_reset: false for wrap_atari in env_wrapper, or use --vec-env dummy"
            )

    def _save_config(self, saved_hyperparams: dict[str, Any]) -> None:
        folder = Path(self.params_path)
        is_new = not (folder / "config.yml").exists()  # else it is resumed
        # RL Zoo writes both into args.yml and command.txt
        vars(self.args).update(without_passwords(vars(self.args)))
        sys.orig_argv[:] = [portable(one) for one in without_passwords(sys.orig_argv)]
        super()._save_config(saved_hyperparams)
        if is_new:
            write_provenance(folder)

    def hyperparameters_optimization(self) -> None:
        """Run ``-optimize``, without the password of ``--storage`` in the study RL Zoo pickles.

        :raises SettingError: if the replay buffer's gamma would differ from the sampled one.
        """
        n_steps = (self._hyperparams.get("replay_buffer_kwargs") or {}).get("n_steps", 1)
        if n_steps > 1 and self.algo != "fast_dqn":
            self._clean_up()
            raise SettingError(
                f"-optimize samples gamma, but the replay buffer with n_steps: {n_steps} discounts"
                " with its own gamma: set n_steps to 1, or use our `tune`, or --algo fast_dqn"
            )
        sys.orig_argv[:] = without_passwords(sys.orig_argv)
        if self.storage is not None and without_passwords(self.storage) != self.storage:
            # the PostgreSQL driver reads the password from there
            os.environ["PGPASSWORD"] = make_url(self.storage).password or ""
            self.storage = without_passwords(self.storage)
        super().hyperparameters_optimization()

    def learn(self, model: BaseAlgorithm) -> None:
        """Train the model, with CSV log and checkpoints in the run folder."""
        self.callbacks.append(CsvLog(self.save_path))
        if (
            not self._own_checkpoints()
            and self.checkpoint_freq > 0
            and isinstance(model, SUPPORTED)
        ):
            self.callbacks.append(ExactCheckpoint(self.checkpoint_freq))
        self._warn_if_learning_starts_late(model)
        try:
            super().learn(model)
        except Exception as error:
            is_start = model.num_timesteps <= model.n_envs  # the step that failed is counted
            refusal: Exception | None = None
            if isinstance(error, (SettingError, ReplayMemoryError, CheckpointError)):
                refusal = error
            elif is_start:
                refusal = _setting_error(error)
            if refusal is None:
                where = self.save_path
                raise TrainingFailedError(f"training in {where} failed: {error}") from error
            if is_start:
                self._clean_up(model)
            if refusal is error:
                raise
            raise refusal from error
        if model.num_timesteps < self.n_timesteps and self._stop_signal() is None:
            print(f"stopped after {model.num_timesteps} of {self.n_timesteps} steps")

    def _warn_if_learning_starts_late(self, model: BaseAlgorithm) -> None:
        """Warn if training ends before ``learning_starts``."""
        if not isinstance(model, OffPolicyAlgorithm) or self.n_timesteps > model.learning_starts:
            return
        print(
            f"sb3-atari: warning: learning_starts is {model.learning_starts}, so"
            f" {self.n_timesteps} steps of training make few or no updates: train longer (-n), or"
            f" start earlier (-params learning_starts:{early_start(self.n_timesteps)})",
            file=sys.stderr,
        )

    def save_trained_model(self, model: BaseAlgorithm) -> None:
        """Save the model; if a signal stopped training, exit with status 128 + signal number."""
        super().save_trained_model(model)
        number = self._stop_signal()
        if number is not None:
            if all(one.stop_signal is None for one in self._own_checkpoints()):  # stopped at once
                print(f"To resume: {how_to_resume(Path(self.save_path))}")
            raise SystemExit(128 + number)

    def _stop_signal(self) -> int | None:
        """Return the number of the signal that stopped training, or None."""
        return next((one.received_signal for one in self._own_checkpoints()), None)

    def _own_checkpoints(self) -> list[ExactCheckpoint]:
        return [one for one in self.callbacks if isinstance(one, ExactCheckpoint)]


def check_device(device: str) -> None:
    """Check that the requested device exists.

    On a machine without a GPU ``cuda`` is accepted, since SB3 falls back to the CPU.

    :raises SettingError: for a device that PyTorch does not have.
    """
    if th.cuda.is_available() or not re.fullmatch(r"cuda(:\d+)?", device):
        check_torch_device("--device", device)


def early_start(n_timesteps: int) -> int:
    """Return a ``learning_starts`` for a short run: a tenth of its timesteps."""
    return min(max(1, n_timesteps // 10), n_timesteps - 1)


def _setting_error(error: Exception) -> SettingError | None:
    """Return an exception of RL Zoo, SB3, Gymnasium or the file system as a ``SettingError``.

    :return: None if the exception does not look like a rejected setting.
    """
    if isinstance(error, OSError) and error.filename is not None:
        return SettingError(f"{error.filename}: {error.strerror}")
    # Gymnasium re-raises any TypeError of an environment's constructor
    first = error.__cause__ if isinstance(error, TypeError) and error.__cause__ else error
    package, is_on_purpose = raised_at(first)
    if isinstance(first, TypeError) and _WRONG_ARGUMENTS.search(str(first)):
        is_on_purpose = True
    if isinstance(first, RuntimeError) and package == "ale_py":  # from C++
        is_on_purpose = True
    is_setting = package in _LIBRARIES and is_on_purpose and bool(str(error))
    return SettingError(str(error)) if is_setting else None


@contextlib.contextmanager
def library_errors_as_setting_errors() -> Iterator[None]:
    """Re-raise what RL Zoo, SB3 and Gymnasium reject as ``SettingError``.

    :raises SettingError: with the text of the original exception; other exceptions pass through.
    """
    try:
        yield
    except Exception as error:
        setting = _setting_error(error)
        if setting is None:
            raise
        raise setting from error


def _wrap_savable(env: gym.Env[Any, Any], *, wrapper: Any) -> gym.Env[Any, Any]:
    """Wrap an environment in :class:`SavableEnv` outermost, so that checkpoints reach workers."""
    return SavableEnv(env if wrapper is None else wrapper(env))


def _our_file(algo: str, env_id: str) -> str | None:
    """Return the path of our yml for an environment, or None for RL Zoo's own.

    Ours is used if it has an entry for the environment or the algorithm is ours; FastDQN falls back
    to ``dqn.yml``.
    """
    try:
        path = hyperparams_file(algo)
    except FileNotFoundError:
        return None
    entries = load_hyperparams(algo)
    has_entry = env_id in entries or ("atari" in entries and is_atari(env_id))
    if algo == "fast_dqn" and not has_entry:
        return str(hyperparams_file("dqn"))
    return str(path) if has_entry or algo in OUR_ALGORITHMS else None
