"""Commands of the package from a lesson: shown as a user types them, and run."""

from __future__ import annotations

import shlex
import subprocess
import sys


def run_command(*arguments: object, show: int = 0) -> str:
    """Run ``python -m sb3_atari_course ARGUMENTS`` and print that line.

    :param arguments: as on the command line.
    :param show: last lines of its output to print.
    :return: all of its output.
    :raises ValueError: if it fails, with the last lines of what it said.
    """
    words = [str(argument) for argument in arguments]
    print("$ python -m sb3_atari_course", shlex.join(words))
    done = subprocess.run(
        [sys.executable, "-m", "sb3_atari_course", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines = done.stdout.splitlines()
    if done.returncode:
        raise ValueError(
            f"the command ended with status {done.returncode}:\n" + "\n".join(lines[-10:])
        )
    print("\n".join(lines[-show:] if show else []), end="\n" if show else "")
    return done.stdout
