"""What a lesson does with its surroundings: arguments, output folder, images, videos, commands."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    :raises SystemExit: for arguments that a lesson does not have.
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


def ipython_shell() -> Any:
    """Return IPython's shell if this runs in one, else None."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def in_notebook() -> bool:
    """Return whether this runs in a notebook, where images and videos can be shown."""
    return hasattr(ipython_shell(), "kernel")


def show_picture(figure: Figure, path: str | Path) -> None:
    """Save a figure, and show it in a notebook; elsewhere print where it is.

    :param figure: of matplotlib.
    :param path: of the PNG to write.
    """
    figure.savefig(path)
    if in_notebook():
        from IPython.display import Image, display

        display(Image(filename=str(path)))
    else:
        print(f"picture: {path}")


def show_video(path: str | Path, *, width: int = 320) -> None:
    """Show an MP4 file in a notebook, which keeps it; elsewhere print where it is.

    :param path: of a video that exists, see :func:`sb3_atari_course.report.video.write_video`.
    :param width: of the player, in pixels.
    :raises ValueError: if there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is not a file: write the video first")
    if in_notebook():
        from IPython.display import Video, display

        shown = "controls loop muted playsinline"
        display(Video(str(path), embed=True, width=width, html_attributes=shown))
    else:
        print(f"video: {path}")


def run_command(*arguments: object, show: int = 0) -> str:
    """Run ``python -m sb3_atari_course ARGUMENTS`` and print that line.

    :param arguments: as on the command line.
    :param show: last lines of its output to print.
    :return: all of its output.
    :raises ValueError: if it fails, with the last lines of its output.
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
        shown = "\n".join(lines[-10:])
        raise ValueError(f"the command ended with status {done.returncode}:\n{shown}")
    for line in lines[len(lines) - show :]:
        print(line)
    return done.stdout
