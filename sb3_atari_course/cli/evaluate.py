"""Command ``evaluate``: score an agent on full games with unclipped rewards."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from sb3_atari_course._common import MAX_FRAMES
from sb3_atari_course.cli.parser import (
    CommandParser,
    add_device,
    add_env_kwargs,
    add_games,
    add_integer,
    add_model,
    add_parallel_games,
    add_run,
    chosen_model,
    n_workers,
    number,
    parse_run,
)

_DESCRIPTION = """\
Evaluate an agent on full games with unclipped rewards, and random actions for comparison. The
scores are printed to stdout and written to evaluation.json in the run folder.
"""


def main(arguments: Sequence[str]) -> None:
    """Run the command.

    :raises ValueError: for a wrong argument; after the score was printed, if the file cannot be
        written.
    """
    args = _parse(arguments)
    from sb3_atari_course.evaluation.protocol import RULES
    from sb3_atari_course.zoo.experiment import check_device
    from sb3_atari_course.zoo.hyperparameter_checks import check_env_kwargs
    from sb3_atari_course.zoo.run_folder import (
        check_model,
        find_run,
        sha256_of,
        write_evaluation,
    )

    check_device(args.device)
    run = find_run(**chosen_model(args))
    check_model(run.model_path)
    # before the games: a run in progress may replace the file meanwhile
    sha256 = sha256_of(run.model_path)
    if args.env_kwargs:
        given = dict(args.env_kwargs)
        for name in RULES.keys() & given.keys():
            flag = RULES[name].replace("_", "-")
            raise ValueError(f"--env-kwargs {name}:{given[name]!r}: use --{flag} instead")
        run = replace(run, env_kwargs={**run.env_kwargs, **given})
        check_env_kwargs(run.env_kwargs, args.env, "env_kwargs")
    report = run.evaluate(
        seed=args.seed,
        epsilon=args.epsilon,
        device=args.device,
        n_games=args.n_games,
        max_frames=args.max_frames,
        sticky_actions=args.sticky_actions,
        penalty=args.penalty,
        n_envs=args.n_envs,
        n_workers=n_workers(args),
        gym_packages=args.gym_packages,
        progress_bar=True,
    )
    print(report, flush=True)
    write_evaluation(run, report, sha256)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = CommandParser("evaluate", _DESCRIPTION)
    add_run(parser)
    add_model(parser)
    add_games(parser, n_games=30, seed=0)
    add_integer(parser, "--max-frames", default=MAX_FRAMES, help="longest game, in emulator frames")
    parser.add_argument(
        "--sticky-actions",
        type=number(float, 0, 1),
        default=0.0,
        help="probability of repeating the previous action (default 0)",
    )
    parser.add_argument(
        "--penalty", type=float, help="count the steps with exactly this reward (Taxi: -10)"
    )
    add_env_kwargs(parser, "environment arguments, added to those of the run")
    add_parallel_games(parser)
    add_device(parser)
    return parse_run(parser, arguments)
