"""RL Zoo's own commands with our pieces: our hyperparameters without ``-conf``, clear errors."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import io
import os
import re
import runpy
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

import rl_zoo3.utils
from huggingface_sb3 import EnvironmentName, ModelName
from rl_zoo3 import ALGOS

from sb3_atari_course._common.errors import (
    SettingError,
)
from sb3_atari_course._common.validation import integer_at_least
from sb3_atari_course.checkpoints.callback import FREQUENCY
from sb3_atari_course.checkpoints.folder import hint_at_unfinished
from sb3_atari_course.cli.evaluate import add_device, add_exp_id, add_gym_packages
from sb3_atari_course.envs import (
    find_spec,
    import_packages,
    register_envs,
)
from sb3_atari_course.zoo.algorithms import register_algorithms
from sb3_atari_course.zoo.experiment import (
    CourseExperimentManager,
    check_device,
    refusals_of_hosts,
)
from sb3_atari_course.zoo.hyperparameter_checks import (
    NamedValues,
)
from sb3_atari_course.zoo.run_folder import check_model, find_model, read_settings

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
