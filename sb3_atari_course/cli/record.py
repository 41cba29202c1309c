"""Command ``record``: RL Zoo's ``record_video``; the video appears once it is complete."""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import rl_zoo3.utils
from rl_zoo3 import ALGOS

from sb3_atari_course._common.progress import Progress, announce
from sb3_atari_course.cli.enjoy import PlayParser, agent_for_rl_zoo, set_rl_zoo_arguments
from sb3_atari_course.cli.parser import add_device, add_output, chosen_model
from sb3_atari_course.zoo.experiment import check_device, library_errors_as_setting_errors
from sb3_atari_course.zoo.run_folder import find_model

_DESCRIPTION = """\
Record a video of an agent: RL Zoo's record_video, with the run chosen as in evaluate. RUN is a run
folder such as logs/dqn/CartPole-v1_1 and must be the first argument. The flags that differ from RL
Zoo's are listed first, then RL Zoo's own.
"""


@library_errors_as_setting_errors()
def main(arguments: Sequence[str]) -> None:
    """Run the command. Ctrl-C or an error leaves no video."""
    try:
        import moviepy  # noqa: F401  # fail here, not after loading the model
    except ImportError:
        raise ImportError(
            'recording needs the extra "video": pip install "sb3_atari_course[video]"'
        ) from None
    parser = PlayParser("record", _DESCRIPTION)
    add_output(parser, "the video (default: videos in the run folder)")
    add_device(parser)
    args = parser.parse_play(arguments)
    if args.help:
        _run_record_video()
    check_device(args.device)
    run, model_path = find_model(**chosen_model(args))
    stack = contextlib.ExitStack()
    load = _loader(args.algo, args.device, args.n_timesteps, stack)
    agent = agent_for_rl_zoo(rl_zoo3.utils, args.algo, args.env, run, model_path, load)
    # SB3's recorder warns when it is deleted after an error, which has been reported already
    warnings.filterwarnings("ignore", ".*Unable to save last video")
    with agent, _temporary_folder(Path(args.output_folder or run / "videos")) as temporary:
        set_rl_zoo_arguments(parser, args)
        sys.argv += ["-o", str(temporary)]
        steps = f"{args.n_timesteps} steps"
        announce(f"Recording {args.algo} on {args.env}: {steps}")
        with stack:
            _run_record_video()


def _loader(
    algo: str, device: str, n_steps: int, stack: contextlib.ExitStack
) -> Callable[..., Any]:
    """Return a ``load`` for RL Zoo that accepts a device, and shows the progress.

    :param stack: ends it.
    """
    algorithm: Any = ALGOS[algo]

    def load(*args: Any, **kwargs: Any) -> Any:
        model: Any = algorithm.load(*args, device=device, **kwargs)
        predict = model.predict
        progress = stack.enter_context(Progress("Recording", total=n_steps, unit="steps"))

        def counted_predict(*args: Any, **kwargs: Any) -> Any:
            progress.update()
            return predict(*args, **kwargs)

        model.predict = counted_predict
        return model

    return load


@contextlib.contextmanager
def _temporary_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder for the video; its files are moved to ``folder`` at the end.

    :raises ValueError: if nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=folder) as temporary:
            yield Path(temporary)
            for video in sorted(Path(temporary).iterdir()):
                os.replace(video, folder / video.name)
                print(f"video: {folder / video.name}")
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise ValueError(
            f"cannot write the video to {folder} ({reason}): choose another folder with -o"
        ) from error


class _InterruptedError(BaseException):
    """Ctrl-C, under another name: RL Zoo takes KeyboardInterrupt for an early end of the video."""


def _run_record_video() -> None:
    """Run RL Zoo's script on ``sys.argv``."""

    def interrupt(number: int, frame: Any) -> None:
        raise _InterruptedError

    before = signal.getsignal(signal.SIGINT)
    if before != signal.SIG_IGN:  # of a job in the background
        signal.signal(signal.SIGINT, interrupt)
    try:
        runpy.run_module("rl_zoo3.record_video", run_name="__main__")
    except _InterruptedError:
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, before)
