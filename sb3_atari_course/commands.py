"""``evaluate``, and the flags by which it and ``plot`` choose a run."""

from __future__ import annotations

import argparse
import json
import sys

from sb3_atari_course.envs import find_spec, import_packages
from sb3_atari_course.evaluation import MAX_FRAMES
from sb3_atari_course.runs import find_run


def evaluate() -> None:
    """Score an agent on whole games, random play beside it; write ``evaluation.json``."""
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
    parser.add_argument("--device", default="auto", help="PyTorch device (default auto)")
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
    report = run.evaluate(
        seed=args.seed,
        epsilon=args.epsilon,
        device=args.device,
        n_games=args.n_games,
        max_frames=args.max_frames,
        sticky_actions=args.sticky_actions,
        penalty=args.penalty,
    )
    result = {"model": run.model_path.name, **report.as_dict()}
    (run.folder / "evaluation.json").write_text(json.dumps(result, indent=2) + "\n")
    print(f"run folder: {run.folder}")
    for path in sorted(run.folder.rglob("*")):
        if path.is_file():
            print(f"  {path.relative_to(run.folder)}")
    print(f"evaluated: {run.model_path}")
    print(report)


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
    parser.add_argument("--exp-id", type=int, default=0, help="run number (default 0: the latest)")
    parser.add_argument(
        "--gym-packages", nargs="+", default=[], help="modules to import that register environments"
    )
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read ``sys.argv``, and import what ``--gym-packages`` names."""
    args = parser.parse_intermixed_args()
    import_packages(args.gym_packages)
    return args
