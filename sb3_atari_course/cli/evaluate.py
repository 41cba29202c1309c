"""``evaluate``, and the flags by which it and ``plot`` choose a run."""

from __future__ import annotations

import argparse
import ast
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import torch as th

from sb3_atari_course._common.atomic_files import write_result
from sb3_atari_course.envs import find_spec, import_packages
from sb3_atari_course.evaluation import MAX_FRAMES
from sb3_atari_course.evaluation.protocol import RULES
from sb3_atari_course.zoo.hyperparameter_checks import check_env_kwargs
from sb3_atari_course.zoo.run_folder import check_model, find_run, sha256_of


def evaluate() -> None:
    """Score an agent on whole games, random play beside it; write ``evaluation.json``.

    :raises ValueError: for a wrong argument; after the score was printed, if the file cannot be
        written.
    """
    parser = run_parser("Score an agent on whole, unclipped games, random play beside it.")
    parser.add_argument("--load-best", action="store_true", help="the best model of evaluations")
    parser.add_argument("--load-checkpoint", type=int, metavar="STEPS", help="a checkpoint")
    parser.add_argument("--load-last-checkpoint", action="store_true", help="the last checkpoint")
    parser.add_argument("-n", "--n-games", type=int, default=30, help="games (default 30)")
    parser.add_argument("--seed", type=int, default=0, help="decides starts and random actions")
    parser.add_argument(
        "--epsilon",
        type=float,
        help="probability of a random action (default 0.05 for an Atari game, else 0)",
    )
    parser.add_argument(
        "--max-frames", type=int, default=MAX_FRAMES, help="cap of a game (default 108000 frames)"
    )
    parser.add_argument(
        "--sticky-actions", type=float, default=0.0, help="probability of repeating (default 0)"
    )
    parser.add_argument(
        "--penalty", type=float, help="count the steps that pay exactly this (Taxi: -10)"
    )
    parser.add_argument(
        "--env-kwargs",
        type=name_and_value,
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME:VALUE",
        help="arguments of the environment, added to those of the training",
    )
    add_device(parser)
    args = parse(parser)

    find_spec(args.env)  # an unknown id is told before its folder is missed
    run = find_run(
        args.algo,
        args.env,
        args.folder,
        exp_id=args.exp_id,
        load_best=args.load_best,
        load_checkpoint=args.load_checkpoint,
        load_last_checkpoint=args.load_last_checkpoint,
    )
    check_model(run.model_path)
    sha256 = sha256_of(run.model_path)  # now: a training may replace it meanwhile
    if args.env_kwargs:
        run = replace(run, env_kwargs={**run.env_kwargs, **dict(args.env_kwargs)})
        _check_env_kwargs(args.env, run.env_kwargs, args.env_kwargs)
    report = run.evaluate(
        seed=args.seed,
        epsilon=args.epsilon,
        device=args.device,
        n_games=args.n_games,
        max_frames=args.max_frames,
        sticky_actions=args.sticky_actions,
        penalty=args.penalty,
    )
    print(f"run folder: {run.folder}")
    print(f"evaluated: {run.model_path}")
    print(report, flush=True)
    result = {"model": run.model_path.name, "model_sha256": sha256, **report.as_dict()}
    text = json.dumps(result, indent=2) + "\n"
    write_result(
        run.folder / "evaluation.json",
        lambda file: file.write(text.encode()),
        advice="the score above is complete, only the file is missing",
    )


def _check_env_kwargs(
    env_id: str, env_kwargs: dict[str, Any], given: Sequence[tuple[str, Any]]
) -> None:
    """Check what was given, and make the environment once, before the agent is loaded."""
    for name in RULES.keys() & dict(given).keys():
        flag = RULES[name].replace("_", "-")
        raise ValueError(f"--env-kwargs {name}:{dict(given)[name]!r}: say --{flag} instead")
    check_env_kwargs(dict(given), env_id, lambda name: f"--env-kwargs {name}:")
    try:
        gym.make(find_spec(env_id), **env_kwargs).close()
    except Exception as error:  # of the environment's constructor
        words = " ".join(f"{name}:{value!r}" for name, value in given)
        raise ValueError(f"--env-kwargs {words}: {env_id} cannot be made so: {error}") from error


def run_parser(description: str, *, required: bool = True) -> argparse.ArgumentParser:
    """Return a parser with the flags by which RL Zoo chooses a run.

    :param description: shown as it is by ``--help``.
    :param required: ``--algo`` and ``--env`` have to be given.
    """
    parser = argparse.ArgumentParser(
        prog=sys.argv[0],
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    name = "RL Zoo's name of the algorithm, e.g. dqn"
    parser.add_argument("--algo", required=required, help=name)
    parser.add_argument("--env", required=required, help="environment id")
    parser.add_argument("-f", "--folder", default="logs", help="log folder (default logs)")
    add_exp_id(parser)
    add_gym_packages(parser)
    return parser


def add_gym_packages(parser: argparse.ArgumentParser) -> None:
    """Add ``--gym-packages``."""
    parser.add_argument(
        "--gym-packages",
        nargs="+",
        action="extend",
        default=[],
        metavar="MODULE",
        help="modules to import that register environments",
    )


def add_exp_id(parser: argparse.ArgumentParser) -> None:
    """Add ``--exp-id``: an integer as in RL Zoo, or what a folder of ``--uuid`` is called."""
    parser.add_argument(
        "--exp-id",
        type=_exp_id,
        default=0,
        help="run number, 3_<uuid> for one of --uuid (default 0: the latest run with the model)",
    )


def _exp_id(word: str) -> int | str:
    return int(word) if word.removeprefix("-").isdecimal() else word


def add_device(parser: argparse.ArgumentParser, default: str | None = "auto") -> None:
    """Add ``--device``.

    :param default: None for that of the training.
    """
    shown = "as the training began" if default is None else default
    parser.add_argument(
        "--device", type=_device, default=default, help=f"PyTorch device (default {shown})"
    )


def _device(word: str) -> str:
    try:
        th.device("cpu" if word == "auto" else word)
    except RuntimeError:
        raise argparse.ArgumentTypeError(
            f"{word!r} is not a PyTorch device: auto, cpu, cuda, cuda:1, ..."
        ) from None
    return word


def name_and_value(word: str) -> tuple[str, Any]:
    """Read ``NAME:VALUE`` with a literal of Python as RL Zoo does, but without running any code.

    >>> name_and_value("frameskip:1"), name_and_value("map_name:'8x8'")
    (('frameskip', 1), ('map_name', '8x8'))

    :raises argparse.ArgumentTypeError: for anything else.
    """
    name, _, value = word.partition(":")
    try:
        if name.isidentifier():
            return name, ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    raise argparse.ArgumentTypeError(
        f"{word!r} is not NAME:VALUE with a number, a flag or a string in quotes:"
        " frameskip:1 full_action_space:True \"map_name:'8x8'\""
    )


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read ``sys.argv``, and import what ``--gym-packages`` names."""
    args = parser.parse_intermixed_args()
    import_packages(args.gym_packages)
    return args
