"""Command ``publish``: export a run's agents as small files with scores and a model card."""

from __future__ import annotations

from collections.abc import Sequence

from sb3_atari_course.cli.parser import (
    CommandParser,
    add_device,
    add_games,
    add_integer,
    add_output,
    add_parallel_games,
    add_run,
    n_workers,
    parse_run,
    run_folders,
)

_DESCRIPTION = """\
Export the agents of a finished run for sharing: small model files, settings that stock RL Zoo
reads, the learning curve, and a model card (card.json) with their origin and scores.

The best model of the run is selected on separate games. Watch it with
  python -m rl_zoo3.enjoy --algo dqn --env ENV -f my_agents --no-render
"""


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parser = CommandParser("publish", _DESCRIPTION)
    add_run(parser)
    add_output(parser, "the published agents, in RL Zoo's layout (default my_agents)")
    parser.add_argument(
        "--stages",
        type=int,
        nargs="+",
        default=[],
        metavar="STEPS",
        help="also publish the models saved after these agent steps (--save-freq); must follow RUN",
    )
    add_games(parser, n_games=30, seed=1000)
    add_integer(parser, "--selection-games", default=10, help="games to select the best model on")
    add_integer(parser, "--selection-seed", least=0, default=500, help="seed of those games")
    add_parallel_games(parser)
    add_device(parser, "cpu")
    args = parse_run(parser, arguments)

    from sb3_atari_course.agents.publishing import publish
    from sb3_atari_course.zoo.experiment import check_device

    check_device(args.device)
    target = publish(
        run_folders(args)[0],
        args.output_folder or "my_agents",
        stages=args.stages,
        n_games=args.n_games,
        seed=args.seed,
        selection_games=args.selection_games,
        selection_seed=args.selection_seed,
        epsilon=args.epsilon,
        device=args.device,
        gym_packages=args.gym_packages,
        n_envs=args.n_envs,
        n_workers=n_workers(args),
        progress_bar=True,
    )
    print(f"published: {target}")
