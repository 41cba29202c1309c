"""RL Zoo's own commands with our pieces: our hyperparameters without ``-conf``, clear errors."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import runpy
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import rl_zoo3.utils
from gymnasium import spaces
from huggingface_sb3 import EnvironmentName, ModelName
from rl_zoo3 import ALGOS
from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.utils import SimpleLinearSchedule
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

from sb3_atari_course.algorithms import OUR_ALGORITHMS, register_algorithms
from sb3_atari_course.callbacks import CsvLog
from sb3_atari_course.checkpoints.callback import ExactCheckpoint
from sb3_atari_course.checkpoints.command import hint_at_unfinished, take_frequency
from sb3_atari_course.checkpoints.environments.savable import SavableEnv
from sb3_atari_course.checkpoints.errors import CheckpointError
from sb3_atari_course.checkpoints.folder import how_to_resume
from sb3_atari_course.checkpoints.training import KNOWN
from sb3_atari_course.commands import add_device, add_exp_id, add_gym_packages
from sb3_atari_course.envs import (
    GRAY_SCREENS,
    find_spec,
    import_packages,
    is_atari,
    register_envs,
)
from sb3_atari_course.errors import ReplayMemoryError, SettingError, TrainingFailedError
from sb3_atari_course.hyperparams import hyperparams_file, load_hyperparams
from sb3_atari_course.native_vec_env import NativeAtariVecEnv
from sb3_atari_course.passwords import keep_in_memory, without_passwords
from sb3_atari_course.provenance import note_provenance
from sb3_atari_course.q_learning.schedules import VISITS
from sb3_atari_course.runs import check_model, find_model, read_settings
from sb3_atari_course.wrappers.checks import integer_at_least

#: What ``train`` takes beside RL Zoo's flags, whose parser knows nothing of them.
_OUR_FLAGS = """Beside RL Zoo's own flags, below:
  --vec-env native       play Atari games in ale-py's C++ threads
  --checkpoint-freq N    steps between two checkpoints for resume (default 50000; 0: none);
                         dqn, qrdqn, fast_dqn, q_learning
"""

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
    checkpoint_freq = 50_000

    def __init__(self, args: Any, algo: str, env_id: str, *positional: Any, **kwargs: Any) -> None:
        if not kwargs.get("config"):
            kwargs["config"] = _our_file(algo, env_id)
        super().__init__(args, algo, env_id, *positional, **kwargs)

    def read_hyperparameters(self) -> Any:
        """Read the yml, name what it lacks, and add ``--env-kwargs`` to those of the yml."""
        given, self.env_kwargs = self.env_kwargs, {}
        if self.default_vec_env_cls is not None and self._is_atari:
            given = {**GRAY_SCREENS, **given}  # what native games show; noted for evaluate
        try:
            hyperparams, saved = super().read_hyperparameters()
        except KeyError as error:
            advice = "add one"
            if self.algo == "q_learning":
                advice = "no table has a row for each screen, choose dqn or qrdqn"
            raise ValueError(
                f"{self.config} has no entry {error}, and none for {self.env_name.gym_id}: {advice}"
            ) from None
        if given:
            both = {**(hyperparams.get("env_kwargs") or {}), **given}
            hyperparams["env_kwargs"] = saved["env_kwargs"] = self.args.env_kwargs = both
        return hyperparams, saved

    def _preprocess_hyperparams(self, hyperparams: dict[str, Any]) -> Any:
        result = super()._preprocess_hyperparams(hyperparams)
        if self._eval_env_kwargs_args is None:
            self.eval_env_kwargs = self.env_kwargs
        return result

    @staticmethod
    def _preprocess_schedules(hyperparams: dict[str, Any]) -> dict[str, Any]:
        """Make schedules of ``lin_...``, of our keys too; leave ``learning_rate: visits`` alone."""
        ours = {}
        for key in ("learning_rate", "exploration"):
            word = hyperparams.get(key)
            if not isinstance(word, str):
                continue
            if (key, word) == ("learning_rate", VISITS):
                ours[key] = hyperparams.pop(key)
                continue
            _, underscore, initial = word.partition("_")  # RL Zoo takes any word before it
            try:
                ours[key] = SimpleLinearSchedule(initial if underscore else "a number")
            except ValueError:
                raise ValueError(
                    f"{key} is a number (0.0001, not 1e-4, which YAML takes for a word) or a"
                    f" schedule such as lin_0.5, which falls linearly to 0, got {word!r}"
                ) from None
            hyperparams.pop(key)
        return {**ExperimentManager._preprocess_schedules(hyperparams), **ours}

    def create_envs(self, *args: Any, **kwargs: Any) -> VecEnv:
        """Create the environments, and refuse continuous actions where they cannot be used."""
        wrapper = self.env_wrapper
        if self.vec_env_class is SubprocVecEnv:
            self.env_wrapper = partial(_wrap_savable, wrapper=wrapper)
        vec_env: VecEnv = super().create_envs(*args, **kwargs)
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
        own = [one for one in self.callbacks if isinstance(one, ExactCheckpoint)]
        if not own and self.checkpoint_freq > 0 and isinstance(model, KNOWN):
            self.callbacks.append(ExactCheckpoint(self.checkpoint_freq))
        try:
            super().learn(model)
        except (SettingError, ReplayMemoryError, CheckpointError):
            raise
        except Exception as error:
            raise TrainingFailedError(f"training in {self.save_path} failed: {error}") from error
        if model.num_timesteps < self.n_timesteps and self._stop_signal() is None:
            print(f"stopped after {model.num_timesteps} of {self.n_timesteps} steps")

    def save_trained_model(self, model: BaseAlgorithm) -> None:
        """Save the model; after a signal end with the exit status that tells so."""
        super().save_trained_model(model)
        number = self._stop_signal()
        if number is not None:
            print(f"To go on: {how_to_resume(Path(self.save_path))}")
            raise SystemExit(128 + number)

    def _stop_signal(self) -> int | None:
        """Return the number of the signal that has stopped the training, None if none did."""
        own = (one for one in self.callbacks if isinstance(one, ExactCheckpoint))
        return next((one.received_signal for one in own), None)


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


def train() -> None:
    """Run RL Zoo's ``train`` on ``sys.argv``, with our experiment manager."""
    from rl_zoo3 import train as rl_zoo3_train

    _register()
    _play_natively_if_asked()
    if {"-h", "--help"} & set(sys.argv):
        print(_OUR_FLAGS)
    CourseExperimentManager.checkpoint_freq = take_frequency(sys.argv)
    hint_at_unfinished(sys.argv[1:])
    rl_zoo3_train.ExperimentManager = CourseExperimentManager  # type: ignore[attr-defined]
    rl_zoo3_train.train()


def enjoy() -> None:
    """Run RL Zoo's ``enjoy`` on ``sys.argv``, with a run found as ``evaluate`` finds it."""
    import rl_zoo3.enjoy

    _play_natively_if_asked()
    flags = _find_agent(_play_parser(), downloads="rl-trained-agents")
    if flags is not None and not flags.no_render:
        _check_display()
    with _taking(flags, rl_zoo3.enjoy):
        rl_zoo3.enjoy.enjoy()


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
    _, arguments = read_settings(settings)
    if arguments and "env_kwargs" not in arguments:  # which RL Zoo reads
        raise ValueError(f"{settings / 'args.yml'} has no env_kwargs: add `env_kwargs: null`")
    sys.argv[1:] = ["--algo", flags.algo, "--env", flags.env, "-f", flags.folder]
    sys.argv += ["-n", str(flags.n_timesteps), "--n-envs", str(flags.n_envs)]
    sys.argv += ["--no-render"] * flags.no_render + others
    return flags


@contextmanager
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


@contextmanager
def _video_aside(folder: Path) -> Iterator[Path]:
    """Give a folder for a video that is not finished; what is in it at the end goes to ``folder``.

    :raises ValueError: if nothing can be written there.
    """
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=folder) as aside:
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
            with suppress(OSError):
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
