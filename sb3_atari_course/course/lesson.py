"""How a lesson begins: its size and its folder, whether it runs as a script or as a notebook."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NamedTuple

#: Environment variable that moves the folder of all lessons' output.
OUTPUT_VARIABLE = "COURSE_OUTPUT"


class Lesson(NamedTuple):
    """What a lesson must know before it begins.

    :param smoke: True: show every point, but within seconds.
    :param folder: where everything that the lesson writes goes; it exists.
    """

    smoke: bool
    folder: Path


def begin(name: str) -> Lesson:
    """Read the arguments of a lesson that runs as a script; a notebook has none.

    ``--smoke`` makes it short; in a notebook the environment variable ``COURSE_SMOKE=1`` does.
    Output goes to ``course_output/NAME`` in the working folder, or below ``$COURSE_OUTPUT``.

    :param name: of the lesson, and of its folder.
    :raises SystemExit: for arguments that a lesson does not know.
    """
    smoke = os.environ.get("COURSE_SMOKE") == "1"
    if not in_notebook():
        parser = argparse.ArgumentParser(description=f"{name} of the course", allow_abbrev=False)
        parser.add_argument("--smoke", action="store_true", help="every point, within seconds")
        smoke = parser.parse_args().smoke or smoke
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # CartPole and others draw without a screen
    folder = output_folder() / name
    folder.mkdir(parents=True, exist_ok=True)
    return Lesson(smoke, folder)


def output_folder() -> Path:
    """Return the folder of all lessons' output: ``$COURSE_OUTPUT`` or ``course_output``."""
    return Path(os.environ.get(OUTPUT_VARIABLE) or "course_output")


def in_notebook() -> bool:
    """Tell whether this runs in a notebook, where pictures and videos can be shown."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")
