"""``python -m sb3_atari_course resume RUN_DIR``."""

from __future__ import annotations

import argparse

from sb3_atari_course.cli.evaluate import add_device


def main() -> None:
    """Run ``resume`` on ``sys.argv``."""
    parser = argparse.ArgumentParser(
        description="Resume a training from its newest whole checkpoint, in the same folder, as"
        " if it had never stopped. The run's own settings are imported: trust the folder.",
    )
    parser.add_argument("run", metavar="RUN_DIR", help="run folder, with checkpoints/ in it")
    parser.add_argument(
        "-n",
        "--n-timesteps",
        type=int,
        help="agent steps after which the training is finished (default: as it was begun)",
    )
    parser.add_argument("-P", "--progress", action="store_true", help="show a progress bar")
    parser.add_argument(
        "--num-threads", type=int, help="threads of PyTorch (default: as the training began)"
    )
    add_device(parser, None)
    given = parser.parse_args()
    from sb3_atari_course.zoo.resume_experiment import resume_experiment  # imports RL Zoo

    resume_experiment(
        given.run,
        n_timesteps=given.n_timesteps,
        device=given.device,
        num_threads=given.num_threads,
        progress=given.progress,
    )
