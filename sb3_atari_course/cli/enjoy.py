"""Command ``enjoy``: RL Zoo's ``enjoy``; and the arguments that it shares with ``record``."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import rl_zoo3.enjoy
from huggingface_sb3 import EnvironmentName, ModelName
from rl_zoo3 import ALGOS

from sb3_atari_course.cli.parser import (
    CommandParser,
    add_integer,
    add_model,
    add_run,
    check_run,
    chosen_model,
)
from sb3_atari_course.envs import register_envs
from sb3_atari_course.zoo.algorithms import register_algorithms
from sb3_atari_course.zoo.experiment import library_errors_as_setting_errors
from sb3_atari_course.zoo.run_folder import check_model, find_model, read_settings

_DESCRIPTION = """\
Watch a trained agent: RL Zoo's enjoy, with the run chosen as in evaluate. RUN is a run folder such
as logs/dqn/CartPole-v1_1 and must be the first argument. The flags that differ from RL Zoo's are
listed first, then RL Zoo's own. To download a pretrained agent, use python -m rl_zoo3.enjoy.
"""


@library_errors_as_setting_errors()
def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parser = PlayParser("enjoy", _DESCRIPTION)
    parser.add_argument(
        "--vec-env",
        choices=("dummy", "native"),
        default="dummy",
        help="native: Atari environments in ale-py's C++ threads",
    )
    parser.add_argument("--no-render", action="store_true", help="do not open a window")
    args = parser.parse_play(arguments)
    if args.help:
        rl_zoo3.enjoy.enjoy()
    if args.vec_env == "native":
        importlib.import_module("sb3_atari_course.native_zoo")
    run, model_path = find_model(**chosen_model(args))
    set_rl_zoo_arguments(parser, args)
    sys.argv += ["--no-render"] * args.no_render
    with agent_for_rl_zoo(rl_zoo3.enjoy, args.algo, args.env, run, model_path):
        if not args.no_render:
            _check_display()
        rl_zoo3.enjoy.enjoy()


class PlayParser(CommandParser):
    """Parser of our flags; the remaining ones are left to RL Zoo's parser."""

    def __init__(self, command: str, description: str) -> None:
        usage = f"sb3-atari {command} [RUN] [flags]"
        super().__init__(command, description, usage=usage, add_help=False)
        add_run(self, None)
        add_model(self)
        add_integer(self, "-n", "--n-timesteps", default=1000, help="agent steps to play")
        add_integer(self, "--n-envs", default=1, help="number of parallel environments")
        self.add_argument("-h", "--help", action="store_true", help="show this help and exit")

    def parse_play(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse our flags; RL Zoo's own are left in ``others``.

        With ``--help``, print our help and leave the flag in ``sys.argv`` for RL Zoo's parser.
        """
        register_envs()
        register_algorithms()
        # our parser does not have RL Zoo's flags: it would parse the value of one as the folder
        folders = [argument for argument in arguments[:1] if not argument.startswith("-")]
        args, others = self.parse_known_args(arguments[len(folders) :])
        args.run, args.others = folders, others
        if args.help:
            self.print_help()
            print("\nFlags of RL Zoo; for those that are also in the list above, see there:\n")
            sys.argv = [self.prog, "--help"]
        else:
            check_run(self, args)
        return args


def set_rl_zoo_arguments(parser: PlayParser, args: argparse.Namespace) -> None:
    """Set ``sys.argv`` for RL Zoo's parser; the model has been found already."""
    sys.argv = [parser.prog, "--algo", args.algo, "--env", args.env, "-f", args.folder]
    sys.argv += ["-n", str(args.n_timesteps), "--n-envs", str(args.n_envs)]
    sys.argv += args.others


@contextlib.contextmanager
def agent_for_rl_zoo(
    module: Any,
    algo: str,
    env_id: str,
    run: Path,
    model_path: Path,
    load: Callable[..., Any] | None = None,
) -> Iterator[None]:
    """Make RL Zoo's command load the agent that was found.

    RL Zoo 2.9.2 has no flag for a ``--uuid`` folder, and ``record_video`` none for a device; it
    looks up the model by a function and the algorithm in a dictionary, which are replaced here.

    :param module: the module from which RL Zoo's command takes ``get_model_path``.
    :param load: replaces the algorithm's ``load``; None: that one.
    :raises ValueError: if its files are damaged.
    """
    check_model(model_path)
    name = EnvironmentName(env_id)
    read_settings(run / name, to_play=True)
    kind = "final-model" if model_path.stem == name else model_path.stem.replace("_", "-")
    found = f"{kind}-{ModelName(algo, name)}"
    get_model_path, algorithm = module.get_model_path, ALGOS[algo]
    module.get_model_path = lambda *_: (found, str(model_path), str(run))
    if load is not None:
        loader: Any = SimpleNamespace(load=load)
        ALGOS[algo] = loader
    try:
        yield
    finally:
        module.get_model_path, ALGOS[algo] = get_model_path, algorithm


def _check_display() -> None:
    """Check that there is a display: without one SDL renders off-screen and reports no error."""
    displays = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    if sys.platform not in ("win32", "darwin") and not any(map(os.getenv, displays)):
        raise ValueError(
            "no display found (DISPLAY and WAYLAND_DISPLAY are not set): use --no-render to print"
            " the scores only, or make a video with the record command"
        )
