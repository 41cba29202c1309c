"""``python -m sb3_atari_course COMMAND``, also installed as ``sb3-atari``.

commands:
  train      train an agent: RL Zoo's train, with our hyperparameters found without -conf
  resume     resume a training that was stopped or killed, exactly where it was
  enjoy      watch an agent: RL Zoo's enjoy
  record     make a video of an agent: RL Zoo's record_video
  evaluate   score an agent on whole games, with random play for comparison
  plot       plot a run or compare several; write a report
  tune       search hyperparameters, with Optuna, on one machine or many
  publish    make small files of a run's agents, with scores and a model card
  check      check your solution of an exercise of the course

All but train, tune and check work on a run: its folder (logs/dqn/CartPole-v1_1), or --algo and
--env with -f and --exp-id. `COMMAND --help` lists the flags. SB3_ATARI_TRACEBACK=1 shows where an
error comes from.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys

from sb3_atari_course import __version__
from sb3_atari_course._common.errors import raised_at
from sb3_atari_course.cli.parser import fail

#: Each is ``main`` of the module of that name in ``cli``, which is imported when asked for.
COMMANDS = (
    *("train", "resume", "enjoy", "record"),
    *("evaluate", "plot", "tune", "publish", "check"),
)

#: Status of a process that SIGPIPE has ended.
_SIGPIPE = 141


def main() -> None:
    """Run one command; a wrong argument gives one clear line and exit status 2."""
    try:
        _run(sys.argv[1:])
    except BrokenPipeError:
        if not _reader_is_gone("\n"):
            raise  # another pipe: that of a process of ours
        raise SystemExit(_SIGPIPE) from None
    finally:
        _reader_is_gone()  # else Python would find out at its exit, with a traceback


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
    """Return what was wrong with the arguments, None for an unexpected error."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    kinds = (ValueError, TypeError, ImportError, OSError, MemoryError)
    is_ours = isinstance(error, kinds) and raised_at(error) == ("sb3_atari_course", True)
    return str(error) if is_ours else None


def _reader_is_gone(text: str = "") -> bool:
    """Tell whether what we print is read no more, as after ``| head``; then print to nowhere.

    :param text: to try it with; without one only what was printed before is tried.
    """
    try:
        print(end=text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


if __name__ == "__main__":
    main()
