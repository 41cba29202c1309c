"""``publish``: make small files of a run's agents, score them, and describe them in a card."""

from __future__ import annotations

import argparse
import sys

from sb3_atari_course.agents.publishing import publish
from sb3_atari_course.cli.evaluate import add_device, add_gym_packages

_DESCRIPTION = """\
Make agents of a finished run that can be shipped: small zips, settings that stock RL Zoo reads, the
learning curve, and a card.json with where they come from and how they score.

The best of all files of the run is chosen on games of its own. Watch it by
  python -m rl_zoo3.enjoy --algo dqn --env ENV -f my_agents --no-render
"""


def main() -> None:
    """Run the command on ``sys.argv``."""
    parser = argparse.ArgumentParser(
        prog=sys.argv[0],
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", help="run folder, such as logs/dqn/CartPole-v1_1")
    parser.add_argument("-f", "--folder", default="my_agents", help="where to (default my_agents)")
    parser.add_argument(
        "--stages",
        type=int,
        nargs="+",
        default=[],
        metavar="STEPS",
        help="checkpoints (--save-freq) to ship beside the best; behind RUN",
    )
    parser.add_argument("-n", "--n-games", type=int, default=30, help="games of a score (30)")
    parser.add_argument("--seed", type=int, default=1000, help="of these games (default 1000)")
    parser.add_argument(
        "--selection-games", type=int, default=10, help="games to choose the best by (10)"
    )
    parser.add_argument(
        "--selection-seed", type=int, default=500, help="of those games (default 500)"
    )
    parser.add_argument(
        "--epsilon",
        type=float,
        help="probability of a random action (default 0.05 for an Atari game, else 0)",
    )
    add_device(parser, "cpu")
    add_gym_packages(parser)
    args = parser.parse_args()
    target = publish(
        args.run,
        args.folder,
        stages=args.stages,
        n_games=args.n_games,
        seed=args.seed,
        selection_games=args.selection_games,
        selection_seed=args.selection_seed,
        epsilon=args.epsilon,
        device=args.device,
        gym_packages=args.gym_packages,
    )
    print(f"published: {target}")
