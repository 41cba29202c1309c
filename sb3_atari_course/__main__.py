"""Command line: python -m sb3_atari_course COMMAND, also installed as sb3-atari.

commands:
  train      train an agent with RL Zoo's train and our default hyperparameters
  resume     resume a stopped or killed run from its newest checkpoint
  enjoy      watch a trained agent, with RL Zoo's enjoy
  record     record a video of an agent, with RL Zoo's record_video
  evaluate   score an agent on full games, and random actions for comparison
  plot       plot the learning curves of one run or several, write an HTML report
  tune       search hyperparameters with Optuna, on one machine or several
  suite      train and evaluate many games, algorithms and seeds, write statistics
  publish    export a run's agents as small files, with scores and a model card
  check      check your solution to an exercise of the course
  student    write the lessons of the course with blanks in place of the solutions

All but train, tune, suite, check and student take a run: its folder (logs/dqn/CartPole-v1_1), or
--algo and --env with -f and --exp-id. COMMAND --help lists the flags. SB3_ATARI_TRACEBACK=1 shows
the traceback of an error.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys

from sb3_atari_course import __version__
from sb3_atari_course._common.errors import raised_at
from sb3_atari_course.cli.parser import fail

#: Each is ``main`` of the module of that name in ``cli``, imported on demand.
COMMANDS = (
    *("train", "resume", "enjoy", "record"),
    *("evaluate", "plot", "tune", "suite", "publish", "check", "student"),
)

#: Exit status of a process ended by SIGPIPE.
_SIGPIPE = 141


def main() -> None:
    """Run one command; an invalid argument prints one line and gives exit status 2."""
    try:
        _run(sys.argv[1:])
    except BrokenPipeError:
        if not _stdout_is_closed("\n"):
            raise  # another pipe, to a subprocess
        raise SystemExit(_SIGPIPE) from None
    finally:
        _stdout_is_closed()  # else Python would print a traceback at its exit


def _run(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        with contextlib.suppress(BrokenPipeError):  # as argparse does
            print(__doc__)
        raise SystemExit(0 if arguments else 2)
    if arguments[0] == "--version":
        print(__version__)
        return
    command = arguments[0]
    if command not in COMMANDS:
        fail(f"unknown command {command!r}: one of {', '.join(COMMANDS)}")
    try:
        importlib.import_module(f"sb3_atari_course.cli.{command}").main(arguments[1:])
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        message = _refusal(error)
        if message is None or os.environ.get("SB3_ATARI_TRACEBACK"):
            raise
        fail(message)


def _refusal(error: Exception) -> str | None:
    """Return the message for an invalid argument, None for an unexpected error."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    kinds = (ValueError, TypeError, ImportError, OSError, MemoryError)
    is_ours = isinstance(error, kinds) and raised_at(error) == ("sb3_atari_course", True)
    return str(error) if is_ours else None


def _stdout_is_closed(text: str = "") -> bool:
    """Return whether the reader of stdout is gone, as after ``| head``; if so, discard output.

    :param text: printed to find out; without it, only pending output is flushed.
    """
    try:
        print(end=text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


if __name__ == "__main__":
    main()
