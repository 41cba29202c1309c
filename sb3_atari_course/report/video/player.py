"""A player for web pages and notebooks that carries its video: no other file, no JavaScript."""

from __future__ import annotations

import base64
from pathlib import Path


def video_html(path: str | Path, *, width: int | None = None) -> str:
    """Return a ``<video>`` element with an MP4 file inside.

    :param path: of the file.
    :param width: of the player, in pixels; None leaves it to the page.
    """
    data = base64.b64encode(Path(path).read_bytes()).decode("ascii")
    size = "" if width is None else f' width="{width}"'
    return (
        f'<video controls loop muted playsinline preload="auto"{size}'
        f' src="data:video/mp4;base64,{data}"></video>'
    )
