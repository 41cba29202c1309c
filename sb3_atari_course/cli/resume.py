"""``resume``, and what ``train`` says of checkpoints."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from huggingface_sb3 import EnvironmentName

from sb3_atari_course._common.passwords import STORAGE_VARIABLE
from sb3_atari_course.checkpoints.folder import FOLDER, CheckpointFolder, how_to_resume
from sb3_atari_course.checkpoints.manifest import Checkpoint
from sb3_atari_course.cli.evaluate import add_device

#: Agent steps between two checkpoints of our launcher.
FREQUENCY = 50_000


def main() -> None:
    """Run ``resume`` on ``sys.argv``."""
    parser = argparse.ArgumentParser(
        description="Go on with a training from its newest whole checkpoint, in the same folder, as"
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
    parser.add_argument(
        "--storage",
        metavar="URL",
        default=os.environ.get(STORAGE_VARIABLE),
        help="database from which --trial-id took the hyperparameters, with its password, which"
        f" the run folder does not keep (default: ${STORAGE_VARIABLE}, else as the training began)",
    )
    given = parser.parse_args()
    from sb3_atari_course.checkpoints.resuming.resume import resume  # which imports the algorithms

    resume(
        given.run,
        n_timesteps=given.n_timesteps,
        device=given.device,
        num_threads=given.num_threads,
        progress=given.progress,
        storage=given.storage,
    )


def hint_at_unfinished(arguments: list[str]) -> None:
    """Print how to resume the unfinished runs beside the one that is about to begin.

    :param arguments: of ``train``.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--algo", default="ppo")
    parser.add_argument("--env", default="CartPole-v1")
    parser.add_argument("-f", "--log-folder", default="logs")
    given, _ = parser.parse_known_args(arguments)
    runs = Path(given.log_folder) / given.algo
    for run, checkpoint in unfinished_runs(runs, EnvironmentName(given.env)):
        print(
            f"{run} is unfinished ({checkpoint.step:,} of {checkpoint.n_timesteps:,} steps). To go"
            f" on with it: {how_to_resume(run)}"
        )


def unfinished_runs(runs: Path, name: str) -> Iterator[tuple[Path, Checkpoint]]:
    """Yield the runs of an environment that can go on, with their newest checkpoints.

    :param runs: where RL Zoo puts the runs of one algorithm.
    :param name: of the environment.
    """
    for run in sorted(runs.glob(f"{name}_*")):
        checkpoint = unfinished_checkpoint(run)
        if checkpoint is not None and not CheckpointFolder(run / FOLDER).is_used():
            yield run, checkpoint


def unfinished_checkpoint(run: Path) -> Checkpoint | None:
    """Return the newest checkpoint of a run that was stopped or still goes on, None otherwise."""
    folder = CheckpointFolder(run / FOLDER)
    checkpoint = folder.glance()
    if checkpoint is None or checkpoint.finished or folder.was_ended():
        return None
    return checkpoint
