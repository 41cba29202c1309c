"""``tune``: a search of hyperparameters, or the report on one."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from sb3_atari_course._common import MAX_FRAMES
from sb3_atari_course.cli.parser import (
    CommandParser,
    add_device,
    add_env_kwargs,
    add_epsilon,
    add_gym_packages,
    add_integer,
    add_several,
)
from sb3_atari_course.hyperparams import ALGORITHMS
from sb3_atari_course.tuning import GRACE_PERIOD, PRUNERS, SAMPLERS

_EPILOG = """\
The same command resumes a study that was stopped, and joins one that is running. Values of --param
are those of a space file: gamma=[0.99,0.999], "learning_rate={low: 1e-5, high: 1e-3, log: true}",
batch_size=64 (frozen). More in docs/tuning.md.
"""


def main(arguments: Sequence[str]) -> None:
    """Search hyperparameters, or report on a search; see ``tune --help``."""
    args = parse(arguments)
    from sb3_atari_course.tuning.search import search

    search(args)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    description = "Search hyperparameters: trainings by RL Zoo, scored on whole games."
    parser = CommandParser("tune", description, epilog=_EPILOG)
    parser.add_argument("--algo", required=True, choices=ALGORITHMS, help="algorithm")
    parser.add_argument("--env", required=True, help="environment id")
    parser.add_argument(
        "--best", action="store_true", help="train nothing: print the best yml, draw the plots"
    )
    _add_study(parser.add_argument_group("study"))
    _add_space(parser.add_argument_group("what is tried"))
    _add_score(parser.add_argument_group("how it is scored"))
    _add_machine(parser.add_argument_group("this machine"))
    args = parser.parse_args(arguments)
    if not args.minutes > 0:
        parser.error(f"argument --minutes: must be positive, got {args.minutes}")
    return args


def _add_study(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--study-name", metavar="NAME", help="default: ALGO_ENV")
    group.add_argument(
        *("-f", "--folder"),
        default="studies",
        help="folder in which studies lie, each in one of its name (default studies)",
    )
    group.add_argument(
        "--storage",
        metavar="URL",
        help="postgresql://..., sqlite:///x.db (one worker), or a file of Optuna's journal"
        " (default: $SB3_ATARI_STORAGE, which shows no password to others, else journal.log in"
        " the study's folder)",
    )
    add_integer(
        group,
        "--n-trials",
        help="finished trials, complete or pruned, of all machines (default 20 for a game, else"
        " 50); more than before extend a study",
    )
    steps = "agent steps of a training (default: those of the yml, for a game 100000)"
    add_integer(group, "-n", "--n-timesteps", help=steps)
    group.add_argument(
        "--minutes", type=float, default=math.inf, help="begin no trial after so many minutes"
    )
    add_integer(group, "--seed", least=0, default=0, help="same seed, one worker: same trials")


def _add_space(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        *("-conf", "--conf-file"), help="yml of the other hyperparameters (default: that of train)"
    )
    group.add_argument("--space", metavar="FILE", help="yml of what is tried (default: ours)")
    add_several(group, "--param", "NAME=VALUES", help="change or add a parameter")
    add_several(group, "--freeze", "NAME", help="leave as the yml has it")
    add_several(group, "--only", "NAME", help="tune nothing else")
    group.add_argument("--list-params", action="store_true", help="show all parameters and end")
    add_env_kwargs(group, "arguments of the environment")
    group.add_argument("--sampler", choices=SAMPLERS, default="tpe", help="default tpe")
    add_integer(group, "--n-startup-trials", least=0, default=10, help="random trials before TPE")


def _add_score(group: argparse._ArgumentGroup) -> None:
    add_integer(group, "--n-games", default=20, help="games of a score")
    evaluations = "scores of a training, the last at its end"
    add_integer(group, "--n-evaluations", default=4, help=evaluations)
    repeats = "trainings of a trial, whose mean is its score"
    add_integer(group, "--n-repeats", default=1, help=repeats)
    add_integer(group, "--max-frames", default=MAX_FRAMES, help="cap of a game, in frames")
    add_epsilon(group)
    group.add_argument("--pruner", choices=PRUNERS, default="median", help="default median")


def _add_machine(group: argparse._ArgumentGroup) -> None:
    add_integer(group, "--workers", default=1, help="processes here")
    threads = "of PyTorch in each (default: cores / workers)"
    add_integer(group, "--num-threads", help=threads)
    add_device(group)
    group.add_argument(
        "--vec-env", choices=("dummy", "native"), default="dummy", help="native: ale-py's threads"
    )
    silence = "seconds of silence after which a worker counts as dead (databases)"
    add_integer(group, "--grace-period", default=GRACE_PERIOD, help=silence)
    add_gym_packages(group)
