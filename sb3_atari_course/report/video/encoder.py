"""How raw frames reach ffmpeg, and how it is stopped."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

#: The colours, said in the file: players guess otherwise, and not all the same.
_COLOURS = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"

#: crf 18 is near the eye's limit; "animation" suits flat colours: smaller files, nearer colours.
_H264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "18", "-tune", "animation"]


def find_ffmpeg() -> str:
    """Return the path of ffmpeg; ``IMAGEIO_FFMPEG_EXE`` in the environment names another one.

    :raises ImportError: without the extra ``video``.
    :raises RuntimeError: if there is none for this machine.
    """
    try:
        import imageio_ffmpeg  # type: ignore[import-untyped]
    except ImportError:
        raise ImportError(
            'writing videos needs the extra "video": pip install "sb3_atari_course[video]"'
        ) from None
    return str(imageio_ffmpeg.get_ffmpeg_exe())


class Encoder:
    """A running ffmpeg that makes H.264 of the frames written to it.

    imageio-ffmpeg brings the program; its own generator lets ffmpeg print to the terminal, and
    leaves one that it had to kill unwaited for.

    :param path: of the file; replaced if it exists.
    :param shape: (h, w) grey or (h, w, 3) colour, in pixels.
    :param fps: frames per second of the video.
    :param scale: every pixel becomes ``scale`` by ``scale`` ones.
    :raises OSError: if ffmpeg cannot be started.
    """

    def __init__(self, path: Path, *, shape: tuple[int, ...], fps: float, scale: int) -> None:
        command = [
            *(find_ffmpeg(), "-y", "-v", "error", "-f", "rawvideo"),
            *("-pix_fmt", "gray" if len(shape) == 2 else "rgb24"),
            *("-s", f"{shape[1]}x{shape[0]}", "-r", str(Fraction(fps).limit_denominator(10_000))),
            *("-i", "-", "-an", "-vf", _filters(shape, scale), *_H264),
            *("-movflags", "+faststart", "-f", "mp4", str(path)),
        ]
        # a file and no pipe: nobody reads while frames are written
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._messages,
                start_new_session=True,  # Ctrl-C is for us; we decide what becomes of the film
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # the same, on Windows
            )
        except BaseException:
            self._messages.close()
            raise

    def write(self, pixels: Any) -> None:
        """Write one frame.

        :param pixels: a C-contiguous uint8 array.
        :raises OSError: if ffmpeg has given up, with what it said.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(pixels)
        except OSError:
            self._process.wait()
            raise OSError(self._last_message()) from None

    def finish(self) -> None:
        """Wait until the file is whole.

        :raises OSError: if it failed, with what ffmpeg said.
        """
        assert self._process.stdin is not None
        with suppress(OSError):  # a pipe that broke: the exit status tells more
            self._process.stdin.close()
        if self._process.wait() != 0:
            raise OSError(self._last_message())
        self._messages.close()

    def kill(self) -> None:
        """Stop at once; the file is of no use. Again is allowed."""
        assert self._process.stdin is not None
        self._process.kill()
        with suppress(OSError):
            self._process.stdin.close()
        self._process.wait()
        self._messages.close()

    def _last_message(self) -> str:
        """Return the last line that ffmpeg wrote."""
        self._messages.seek(0)
        lines = self._messages.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"ffmpeg ended with status {self._process.returncode}"


def _filters(shape: tuple[int, ...], scale: int) -> str:
    """Return ffmpeg's filters: enlarge without blur, convert the colours, pad to even sizes."""
    height, width = shape[0] * scale, shape[1] * scale
    flags = "neighbor" if scale > 1 else "bicubic"  # bicubic: colours at half the resolution
    chain = [
        f"scale={width}:{height}:flags={flags}+accurate_rnd:out_range=tv:out_color_matrix=bt709",
        _COLOURS,
    ]
    if height % 2 or width % 2:  # yuv420p has one colour for 2 by 2 pixels
        chain = [*chain, f"pad={width + width % 2}:{height + height % 2}"]
    return ",".join(chain)
