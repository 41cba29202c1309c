"""Pictures and videos where the reader is: below the cell of a notebook, or in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sb3_atari_course.course.lesson import in_notebook
from sb3_atari_course.report.video import video_html

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
        raise ValueError(f"{path} is no file: write the video first")
    if in_notebook():
        from IPython.display import HTML, display

        display(HTML(video_html(path, width=width)))
    else:
        print(f"video: {path}")
