"""Command ``tune``: search hyperparameters with Optuna, or report on a search."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from sb3_atari_course._common import MAX_FRAMES
from sb3_atari_course.cli.parser import (
    CommandParser,
    add_cluster,
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
The same command resumes a stopped study, and joins a running one. --param takes the values of a
search space file: gamma=[0.99,0.999], "learning_rate={low: 1e-5, high: 1e-3, log: true}",
batch_size=64 (fixed). More in docs/guide/tuning.md.
"""


def main(arguments: Sequence[str]) -> None:
    """Search hyperparameters, or report on a search; see ``tune --help``."""
    args = parse(arguments)
    from sb3_atari_course.tuning.search import search

    search(args)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    description = "Search hyperparameters with Optuna: RL Zoo runs, evaluated on full games."
    parser = CommandParser("tune", description, epilog=_EPILOG)
    parser.add_argument("--algo", required=True, choices=ALGORITHMS, help="algorithm")
    parser.add_argument("--env", required=True, help="environment id")
    parser.add_argument(
        "--best", action="store_true", help="do not train: print the best settings, write the plots"
    )
    _add_study(parser.add_argument_group("study"))
    _add_space(parser.add_argument_group("search space"))
    _add_score(parser.add_argument_group("evaluation"))
    _add_workers(parser.add_argument_group("workers"))
    args = parser.parse_args(arguments)
    if not args.minutes > 0:
        parser.error(f"argument --minutes: must be positive, got {args.minutes}")
    if args.address is None and (args.cpus, args.gpus) != (1.0, 0.0):
        parser.error("--cpus and --gpus are for a cluster: pass its --address, or leave them out")
    if args.address is not None and args.device != "auto":
        parser.error(f"--device {args.device} is for this machine: with --address pass --gpus")
    return args


def _add_study(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--study-name", metavar="NAME", help="default: ALGO_ENV")
    group.add_argument(
        *("-f", "--folder"),
        default="studies",
        help="folder of the studies, a subfolder each (default studies)",
    )
    group.add_argument(
        "--storage",
        metavar="URL",
        help="postgresql://..., sqlite:///x.db (one worker), or an Optuna journal file"
        " (default: $SB3_ATARI_STORAGE, which keeps a password out of the process list, else"
        " journal.log in the study's folder)",
    )
    add_integer(
        group,
        "--n-trials",
        help="finished trials (complete or pruned) of all machines together (default 20 for Atari,"
        " else 50); a larger number extends the study",
    )
    steps = "agent steps of each run (default: as in the config file; Atari: at most 100000)"
    add_integer(group, "-n", "--n-timesteps", help=steps)
    group.add_argument(
        "--minutes", type=float, default=math.inf, help="start no trial after this many minutes"
    )
    add_integer(
        group,
        "--seed",
        least=0,
        default=0,
        help="with one worker, the same seed gives the same trials",
    )


def _add_space(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        *("-conf", "--conf-file"),
        help="config file of the other hyperparameters (default: as train)",
    )
    group.add_argument(
        "--space", metavar="FILE", help="search space, a yml file (default: built in)"
    )
    add_several(
        group, "--param", "NAME=VALUES", help="change or add parameters of the search space"
    )
    add_several(group, "--freeze", "NAME", help="do not tune: use the value of the config file")
    add_several(group, "--only", "NAME", help="tune only these parameters")
    group.add_argument("--list-params", action="store_true", help="print all parameters and exit")
    add_env_kwargs(group, "environment arguments")
    group.add_argument("--sampler", choices=SAMPLERS, default="tpe", help="default tpe")
    add_integer(group, "--n-startup-trials", least=0, default=10, help="random trials before TPE")


def _add_score(group: argparse._ArgumentGroup) -> None:
    add_integer(group, "--n-games", default=20, help="games (episodes) per evaluation")
    evaluations = "evaluations per run, the last at its end"
    add_integer(group, "--n-evaluations", default=4, help=evaluations)
    repeats = "training runs per trial; the score of a trial is their mean"
    add_integer(group, "--n-repeats", default=1, help=repeats)
    add_integer(group, "--max-frames", default=MAX_FRAMES, help="longest game, in emulator frames")
    add_epsilon(group)
    group.add_argument("--pruner", choices=PRUNERS, default="median", help="default median")


def _add_workers(group: argparse._ArgumentGroup) -> None:
    workers = "worker processes (default 1; with --address as many as fit into the cluster)"
    add_integer(group, "--workers", help=workers)
    threads = "PyTorch threads per worker (default: cores / workers; with --address --cpus)"
    add_integer(group, "--num-threads", help=threads)
    add_cluster(group, "worker of a cluster")
    add_device(group)
    group.add_argument(
        "--vec-env",
        choices=("dummy", "native"),
        default="dummy",
        help="native: ale-py's C++ threads",
    )
    silence = "seconds without a heartbeat after which a worker counts as dead (databases)"
    add_integer(group, "--grace-period", default=GRACE_PERIOD, help=silence)
    add_gym_packages(group)
