"""Command ``train``: RL Zoo's ``train`` with our parser and experiment manager."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import rl_zoo3.train
from huggingface_sb3 import EnvironmentName

from sb3_atari_course._common.errors import SettingError
from sb3_atari_course.checkpoints.callback import FREQUENCY
from sb3_atari_course.checkpoints.folder import print_unfinished_runs
from sb3_atari_course.cli.parser import CommandParser, number
from sb3_atari_course.envs import find_spec, import_packages, register_envs
from sb3_atari_course.hyperparams import ALGORITHMS
from sb3_atari_course.zoo.algorithms import register_algorithms
from sb3_atari_course.zoo.experiment import (
    CourseExperimentManager,
    check_device,
    library_errors_as_setting_errors,
)
from sb3_atari_course.zoo.hyperparameter_checks import NamedValues

#: Numeric flag of ``train`` -> its minimum, and the smaller values that have a special meaning.
_LEAST: dict[str, tuple[int, dict[int, str]]] = {
    "n_timesteps": (1, {-1: "that of the config file"}),
    "num_threads": (1, {-1: "PyTorch's default"}),
    "log_interval": (1, {-1: "SB3's default", -2: "no log"}),
    "eval_episodes": (1, {}),
    "n_eval_envs": (1, {}),
    "checkpoint_freq": (0, {}),
    "verbose": (0, {}),
}


@library_errors_as_setting_errors()
def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    register_envs()
    register_algorithms()
    sys.argv = ["sb3-atari train", *arguments]
    # RL Zoo 2.9.2's train() creates these itself and takes no argument for them
    module: Any = rl_zoo3.train
    module.argparse = SimpleNamespace(ArgumentParser=TrainParser)
    module.StoreDict = NamedValues
    module.ExperimentManager = CourseExperimentManager
    module.train()


class TrainParser(CommandParser):
    """Parser of RL Zoo's ``train`` with our flags; rejects what cannot be trained."""

    def __init__(self) -> None:
        super().__init__("train")
        self.add_argument(
            "--checkpoint-freq",
            type=int,
            default=FREQUENCY,
            help=f"Agent steps between two checkpoints for resume (default {FREQUENCY}; 0: none);"
            f" for {', '.join(ALGORITHMS)}",
        )
        self.add_argument(
            "--run-number",
            type=number(int, 1),
            metavar="N",
            help="Number of the run folder, ALGO/ENV_N (default: the next one)",
        )

    def add_argument(self, *names: Any, **kwargs: Any) -> argparse.Action:
        """Add a flag of RL Zoo, with our help text or type where RL Zoo's is incomplete."""
        if "--vec-env" in names:
            kwargs["choices"] = [*kwargs["choices"], "native"]
            kwargs["help"] = "VecEnv type; native: Atari environments in ale-py's C++ threads"
        if "-f" in names:
            kwargs["help"] += " (default %(default)s)"
        if kwargs.get("type") is bool:  # bool("False") is true
            kwargs["type"] = _true_or_false
        return super().add_argument(*names, **kwargs)

    def parse_args(self, *args: Any) -> argparse.Namespace:  # type: ignore[override]
        """Read the command line.

        :raises SettingError: for a module, environment, device or agent that does not exist, and
            for a number out of range.
        """
        given: argparse.Namespace = super().parse_args(*args)
        import_packages(given.gym_packages)
        find_spec(given.env)
        for name, (least, others) in _LEAST.items():
            value = getattr(given, name)
            if value is not None and value < least and value not in others:
                flag = "-n" if name == "n_timesteps" else f"--{name.replace('_', '-')}"
                meanings = "".join(f", or {other} ({what})" for other, what in others.items())
                raise SettingError(f"{flag} {value}: must be at least {least}{meanings}")
        if given.seed >= 2**32:
            raise SettingError(f"--seed {given.seed}: must be below 2**32")
        check_device(given.device)
        agent = given.trained_agent
        if agent and not (agent.endswith(".zip") and Path(agent).is_file()):
            raise SettingError(f"--trained-agent {agent}: there is no such .zip file")
        CourseExperimentManager.checkpoint_freq = vars(given).pop("checkpoint_freq")
        CourseExperimentManager.run_number = number_of_run = vars(given).pop("run_number")
        run = Path(given.log_folder, given.algo, f"{EnvironmentName(given.env)}_{number_of_run}")
        if number_of_run is not None and run.exists():
            raise SettingError(f"--run-number {number_of_run}: {run} exists")
        if given.vec_env == "native":
            importlib.import_module("sb3_atari_course.native_zoo")
            given.vec_env = "dummy"  # RL Zoo's name; the module has set another class
        if number_of_run is None:  # with a number, a suite resumes the others
            print_unfinished_runs(Path(given.log_folder) / given.algo, EnvironmentName(given.env))
        return given


def _true_or_false(text: str) -> bool:
    try:
        return {"true": True, "false": False}[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"must be True or False, got {text!r}") from None
