"""The flags of ``tune``."""

from __future__ import annotations

import argparse
import os
import sys

from sb3_atari_course._common.passwords import STORAGE_VARIABLE
from sb3_atari_course.evaluation import MAX_FRAMES
from sb3_atari_course.tuning.parameters import ALGORITHMS
from sb3_atari_course.tuning.sampler import SAMPLERS
from sb3_atari_course.tuning.settings import PRUNERS
from sb3_atari_course.tuning.storage import GRACE_PERIOD
from sb3_atari_course.zoo.hyperparameter_checks import NamedValues

_EPILOG = """
The same command goes on with a study that was stopped, and joins one that is running. Values of
--param are those of a space file: gamma=[0.99,0.999], "learning_rate={low: 1e-5, high: 1e-3,
log: true}", batch_size=64 (frozen). docs/tuning.md tells more.
"""


def parse_options() -> argparse.Namespace:
    """Read the command line."""
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
    return parser.parse_args()


def _add_study(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--study-name", help="default: ALGO_ENV")
    group.add_argument(
        "-f",
        "--folder",
        default="studies",
        help="results go to FOLDER/STUDY_NAME (default studies)",
    )
    group.add_argument(
        "--storage",
        metavar="URL",
        default=os.environ.get(STORAGE_VARIABLE),
        help="postgresql://..., mysql://..., sqlite:///x.db (one worker), or a file of Optuna's"
        f" journal (default: ${STORAGE_VARIABLE}, which shows no password to others, else"
        " journal.log in the study's folder)",
    )
    group.add_argument(
        "--n-trials",
        type=int,
        help="finished trials, complete or pruned, of all machines (default 20 for a game, else"
        " 50); more than before extend a study",
    )
    group.add_argument(
        "-n",
        "--n-timesteps",
        type=int,
        help="agent steps of a training (default: those of the yml, for a game 100000)",
    )
    group.add_argument("--minutes", type=float, help="begin no trial after so many minutes")
    group.add_argument(
        "--seed", type=int, default=0, help="same seed, one worker: same trials (default 0)"
    )


def _add_space(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-conf", "--conf-file", help="yml of the other hyperparameters (default: that of train)"
    )
    group.add_argument("--space", metavar="FILE", help="yml of what is tried (default: ours)")
    group.add_argument(
        "--param",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUES",
        help="change or add a parameter",
    )
    group.add_argument(
        "--freeze",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="leave as the yml has it",
    )
    group.add_argument(
        "--only", nargs="+", action="extend", default=[], metavar="NAME", help="tune nothing else"
    )
    group.add_argument("--list-params", action="store_true", help="show all parameters and end")
    group.add_argument(
        "--env-kwargs", nargs="+", action=NamedValues, help="of the environment, as in train"
    )
    group.add_argument("--sampler", choices=SAMPLERS, default="tpe", help="default tpe")
    group.add_argument(
        "--n-startup-trials", type=int, default=10, help="random trials before TPE (default 10)"
    )


def _add_score(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--n-games", type=int, default=20, help="games of a score (default 20)")
    group.add_argument(
        "--n-evaluations",
        type=int,
        default=4,
        help="scores of a training, the last at its end (default 4)",
    )
    group.add_argument(
        "--n-repeats",
        type=int,
        default=1,
        help="trainings of a trial, whose mean is its score (default 1)",
    )
    group.add_argument(
        "--epsilon",
        type=float,
        help="share of random actions (default 0.05 for an Atari game, else 0)",
    )
    group.add_argument(
        "--max-frames", type=int, default=MAX_FRAMES, help="cap of a game (default 108000 frames)"
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
        default=GRACE_PERIOD,
        help=f"seconds of silence after which a worker counts as dead (databases, default"
        f" {GRACE_PERIOD})",
    )
    group.add_argument(
        "--gym-packages",
        nargs="+",
        action="extend",
        default=[],
        help="modules to import that register environments",
    )
