"""Command ``resume``: resume a run that was stopped or killed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from sb3_atari_course._common.progress import announce
from sb3_atari_course.cli.parser import (
    CommandParser,
    add_device,
    add_integer,
    add_run,
    parse_run,
    run_folders,
)

_DESCRIPTION = """\
Resume a run from its newest valid checkpoint, in the same folder: bit for bit with Python
environments; native and Box2D environments start new episodes. Code named in the run's settings is
imported: only resume runs that you trust.
"""


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    parser = CommandParser("resume", _DESCRIPTION)
    add_run(parser)
    steps = "total agent steps of the run (default: as it was started)"
    add_integer(parser, "-n", "--n-timesteps", help=steps)
    parser.add_argument("-P", "--progress", action="store_true", help="show a progress bar")
    threads = "PyTorch threads (default: those of the run)"
    add_integer(parser, "--num-threads", help=threads)
    add_device(parser, None)
    args = parse_run(parser, arguments)

    from sb3_atari_course.zoo.resume_experiment import resume_experiment

    run = _run_of(args)
    announce(f"Resuming {run}")
    resume_experiment(
        run,
        n_timesteps=args.n_timesteps,
        device=args.device,
        num_threads=args.num_threads,
        progress=args.progress,
    )


def _run_of(args: argparse.Namespace) -> Path:
    """Return the chosen run folder; without a run number the latest unfinished one.

    :raises ValueError: if there is none.
    """
    if args.run or args.exp_id != 0:
        return run_folders(args)[0]
    from huggingface_sb3 import EnvironmentName

    from sb3_atari_course.checkpoints.folder import (
        FOLDER,
        CheckpointFolder,
        unfinished_checkpoint,
    )
    from sb3_atari_course.envs import import_packages

    import_packages(args.gym_packages)
    runs = Path(args.folder) / args.algo
    found: dict[Path, int] = {}  # run -> when its newest checkpoint was written
    for run in runs.glob(f"{EnvironmentName(args.env)}_*"):
        checkpoint = unfinished_checkpoint(run)
        if checkpoint is not None and not CheckpointFolder(run / FOLDER).is_used():
            found[run] = (run / FOLDER / checkpoint.name).stat().st_mtime_ns
    if not found:
        raise ValueError(
            f"{runs} has no unfinished run of {args.env}: choose the log folder with -f; to train"
            " a finished run for longer, give its folder"
        )
    return max(found, key=lambda run: found[run])
