"""Reader of video files, with ffmpeg."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray


def read_video(path: Path) -> tuple[str, NDArray[np.uint8]]:
    """Return ffmpeg's line about a video, and its frames (n, H, W, 3).

    imageio-ffmpeg's own reader leaves its pipes open, which is a warning and so an error here.
    """
    done = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    about = re.search(r"Stream .*Video: (.*)", done.stderr.decode())
    assert about is not None
    size = re.search(r" ([1-9]\d*)x(\d+)", about[1])
    assert size is not None
    return about[1], np.frombuffer(done.stdout, np.uint8).reshape(-1, int(size[2]), int(size[1]), 3)
