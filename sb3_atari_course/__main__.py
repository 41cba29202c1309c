"""``python -m sb3_atari_course COMMAND``, also installed as ``sb3-atari``.

commands:
  train      train an agent: RL Zoo's train, with our hyperparameters found without -conf
  resume     go on with a training that was stopped or killed, as if it never had been
  enjoy      watch an agent: RL Zoo's enjoy
  record     film an agent: RL Zoo's record_video
  evaluate   score an agent on whole games, random play beside it
  plot       draw a run or compare several; write a report
  tune       search hyperparameters, with Optuna, on one machine or many
  publish    make small files of a run's agents, with scores and a card
  check      check your solution of an exercise of the course

`COMMAND --help` tells its flags. SB3_ATARI_TRACEBACK=1 shows where an error comes from.
"""

from __future__ import annotations

import importlib
import os
import sys

from sb3_atari_course import __version__
from sb3_atari_course.errors import ReplayMemoryError, TrainingFailedError


def main() -> None:
    """Run one command; a wrong argument gives one clear line and exit status 2."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        raise SystemExit(0 if arguments else 2)
    if arguments[0] == "--version":
        print(__version__)
        return
    command = arguments[0]
    if command not in _COMMANDS:
        _fail(f"unknown command {command!r}: one of {', '.join(_COMMANDS)}")
    sys.argv = [f"sb3-atari {command}", *arguments[1:]]
    try:
        module, function = _COMMANDS[command]
        getattr(importlib.import_module(f"sb3_atari_course.{module}"), function)()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except TrainingFailedError:
        raise
    except Exception as error:  # not in a training: something that was asked for is wrong
        if os.environ.get("SB3_ATARI_TRACEBACK"):
            raise
        ours = isinstance(error, (ValueError, TypeError, ReplayMemoryError))
        _fail(f"{error}" if ours else _named(error))


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _fail(message: str) -> None:
    print(f"sb3-atari: error: {message}", file=sys.stderr)
    raise SystemExit(2)


#: command -> module and function; imported when asked for, so that --help answers at once
_COMMANDS = {
    "train": ("zoo", "train"),
    "resume": ("checkpoints.command", "main"),
    "enjoy": ("zoo", "enjoy"),
    "record": ("zoo", "record"),
    "evaluate": ("commands", "evaluate"),
    "tune": ("tuning.command", "tune"),
    "plot": ("plots.command", "plot"),
    "publish": ("agents.publishing.command", "main"),
    "check": ("course.command", "main"),
}

if __name__ == "__main__":
    main()
