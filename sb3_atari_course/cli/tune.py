"""``python -m sb3_atari_course tune``: its flags."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence

from sb3_atari_course.tuning import ALGORITHMS, PRUNERS, SAMPLERS

_EPILOG = """
The same command resumes a study that was stopped, and joins one that is running. Values of
--param are those of a space file: gamma=[0.99,0.999], "learning_rate={low: 1e-5, high: 1e-3,
log: true}", batch_size=64 (frozen). More in docs/tuning.md.
"""

#: Flags that are 1 at least, and 0 at least.
_POSITIVE = (
    *("n_timesteps", "n_trials", "workers", "num_threads", "grace_period"),
    *("n_games", "n_evaluations", "n_repeats", "max_frames"),
)
_NOT_NEGATIVE = ("seed", "n_startup_trials")


def tune() -> None:
    """Search hyperparameters, or report on a search; see ``tune --help``."""
    args = parse_options(sys.argv[1:])
    from sb3_atari_course.tuning.search import search  # torch, Optuna, RL Zoo: after the flags

    search(args)


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line.

    :raises ValueError: for a number that is out of range.
    """
    parser = argparse.ArgumentParser(
        prog=sys.argv[0],
        description="Search hyperparameters: trainings by RL Zoo, scored on whole games.",
        epilog=_EPILOG,
    )
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
    for least, names in ((1, _POSITIVE), (0, _NOT_NEGATIVE)):
        for name in names:
            value = getattr(args, name)
            if value is not None and value < least:
                flag = "-n" if name == "n_timesteps" else f"--{name.replace('_', '-')}"
                raise ValueError(f"{flag} must be at least {least}, got {value}")
    if not args.minutes > 0:
        raise ValueError(f"--minutes must be positive, got {args.minutes}")
    return args


def _add_study(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--study-name", help="default: ALGO_ENV")
    group.add_argument(
        *("-f", "--folder"),
        default="studies",
        help="results go to FOLDER/STUDY_NAME (default studies)",
    )
    group.add_argument(
        "--storage",
        metavar="URL",
        help="postgresql://..., sqlite:///x.db (one worker), or a file of Optuna's journal"
        " (default: $SB3_ATARI_STORAGE, which shows no password to others, else journal.log in"
        " the study's folder)",
    )
    group.add_argument(
        "--n-trials",
        type=int,
        help="finished trials, complete or pruned, of all machines (default 20 for a game, else"
        " 50); more than before extend a study",
    )
    group.add_argument(
        *("-n", "--n-timesteps"),
        type=int,
        help="agent steps of a training (default: those of the yml, for a game 100000)",
    )
    group.add_argument(
        "--minutes", type=float, default=math.inf, help="begin no trial after so many minutes"
    )
    group.add_argument(
        "--seed", type=int, default=0, help="same seed, one worker: same trials (default 0)"
    )


def _add_space(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        *("-conf", "--conf-file"), help="yml of the other hyperparameters (default: that of train)"
    )
    group.add_argument("--space", metavar="FILE", help="yml of what is tried (default: ours)")
    for flag, metavar, text in (
        ("--param", "NAME=VALUES", "change or add a parameter"),
        ("--freeze", "NAME", "leave as the yml has it"),
        ("--only", "NAME", "tune nothing else"),
    ):
        group.add_argument(flag, nargs="+", action="extend", default=[], metavar=metavar, help=text)
    group.add_argument("--list-params", action="store_true", help="show all parameters and end")
    group.add_argument(
        "--env-kwargs",
        nargs="+",
        action="extend",
        metavar="NAME:VALUE",
        help="of the environment, as in train",
    )
    group.add_argument("--sampler", choices=SAMPLERS, default="tpe", help="default tpe")
    group.add_argument(
        "--n-startup-trials", type=int, default=10, help="random trials before TPE (default 10)"
    )


def _add_score(group: argparse._ArgumentGroup) -> None:
    for flag, default, text in (
        ("--n-games", 20, "games of a score"),
        ("--n-evaluations", 4, "scores of a training, the last at its end"),
        ("--n-repeats", 1, "trainings of a trial, whose mean is its score"),
        ("--max-frames", 108_000, "cap of a game, in frames"),
    ):
        group.add_argument(flag, type=int, default=default, help=f"{text} (default {default})")
    group.add_argument(
        "--epsilon",
        type=float,
        help="share of random actions (default 0.05 for an Atari game, else 0)",
    )
    group.add_argument("--pruner", choices=PRUNERS, default="median", help="default median")


def _add_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--workers", type=int, default=1, help="processes here (default 1)")
    group.add_argument(
        "--num-threads", type=int, help="of PyTorch in each (default: cores / workers)"
    )
    group.add_argument("--device", default="auto", help="PyTorch device (default auto)")
    group.add_argument(
        "--vec-env", choices=("dummy", "native"), default="dummy", help="native: ale-py's threads"
    )
    group.add_argument(
        "--grace-period",
        type=int,
        default=60,
        help="seconds of silence after which a worker counts as dead (databases, default 60)",
    )
    group.add_argument(
        "--gym-packages",
        nargs="+",
        action="extend",
        default=[],
        help="modules to import that register environments",
    )
