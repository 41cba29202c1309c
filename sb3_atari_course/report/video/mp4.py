"""Frames into an MP4 file: H.264 that every browser plays, written as they come."""

from __future__ import annotations

import os
import secrets
import weakref
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_atari_course._common.validation import finite_number, integer_at_least
from sb3_atari_course.report.video.encoder import Encoder, find_ffmpeg

#: Small pictures are enlarged to at least this height, in pixels.
LEAST_HEIGHT = 400


class VideoWriter:
    """Writes frames to an MP4 file, one by one; none is kept in memory.

    The file appears, whole, when the ``with`` block ends; an error inside, or Ctrl-C, leaves
    nothing, and a file that was there before as it was. Without ``with``, call :meth:`close` or
    :meth:`discard`; a writer that is forgotten discards its film.

    :param path: of the file, ending in ``.mp4``; its folder is made if missing.
    :param fps: frames per second of the video. An Atari game filmed once an agent step (of 4
        emulator frames) plays in real time at 15, twice as fast at 30.
    :param scale: each pixel becomes ``scale`` by ``scale`` of them, without blur; None for the
        smallest one with which the picture is at least 400 pixels high.
    :raises TypeError: for a ``scale`` that is no integer, an ``fps`` that is no number.
    :raises ValueError: if one of them is not positive, if ``path`` has another ending.
    """

    def __init__(self, path: str | Path, *, fps: float = 30, scale: int | None = None) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise ValueError(f"a video is an MP4 file, call it {self.path.stem}.mp4; got {path}")
        self.fps = finite_number("fps", fps)
        if self.fps <= 0:
            raise ValueError(f"fps must be positive, got {fps}")
        self.scale = None if scale is None else integer_at_least(1, "scale", scale)
        self.n_frames = 0
        self._shape: tuple[int, ...] = ()
        self._encoder: Encoder | None = None
        self._aside: Path | None = None  # where the film grows
        self._stop: Any = None  # discards it
        self._closed = False

    def __enter__(self) -> VideoWriter:
        find_ffmpeg()  # what is missing is missed before the first frame
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Add a frame.

        :param frame: (H, W, 3) colour or (H, W) grey, uint8, all of one shape.
        :raises ValueError: for another shape or dtype, for a writer that is closed.
        :raises ImportError: without the extra ``video``.
        :raises OSError: if the folder cannot be written to, the disk is full, ...
        """
        if self._closed:
            raise ValueError(f"the video {self.path} is closed: make another VideoWriter")
        pixels = _checked_frame(frame)
        if self._encoder is None:
            self._begin(pixels.shape)
        if pixels.shape != self._shape:
            raise ValueError(
                f"all frames of a video have one shape: the first has {self._shape},"
                f" frame {self.n_frames} has {pixels.shape}"
            )
        assert self._encoder is not None
        try:
            self._encoder.write(pixels)
        except OSError as error:
            self.discard()
            raise OSError(f"writing {self.path} failed: {error}") from None
        self.n_frames += 1

    def close(self) -> None:
        """Finish the file; again is allowed.

        :raises ValueError: if there are no frames.
        :raises OSError: if it could not be written.
        """
        if self._closed:
            return
        if self._encoder is None:
            self._closed = True
            raise ValueError(f"no frames were added, so there is no video {self.path}")
        assert self._aside is not None
        try:
            self._encoder.finish()
            os.replace(self._aside, self.path)
        except OSError as error:
            raise OSError(f"writing {self.path} failed: {error}") from None
        finally:
            self.discard()  # nothing of it, if all went well

    def discard(self) -> None:
        """Stop, and leave no file; again is allowed."""
        self._closed = True
        if self._stop is not None:
            self._stop()

    def _begin(self, shape: tuple[int, ...]) -> None:
        """Start the encoder beside the file to be, so that renaming it is enough in the end."""
        aside = self.path.with_name(f".{self.path.stem}.{secrets.token_hex(4)}.part")
        scale = self.scale or -(-LEAST_HEIGHT // shape[0])
        find_ffmpeg()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir():
                raise IsADirectoryError(0, "it is a folder")
            aside.touch(exist_ok=False)
        except OSError as error:
            raise OSError(
                f"cannot write {self.path}: {error.strerror}; choose another place"
            ) from None
        try:
            self._encoder = Encoder(aside, shape=shape, fps=self.fps, scale=scale)
        except BaseException:
            aside.unlink()
            raise
        self._aside, self._shape = aside, shape
        self._stop = weakref.finalize(self, _clear_away, self._encoder, aside)


def write_video(
    path: str | Path,
    frames: Iterable[NDArray[np.uint8]],
    *,
    fps: float = 30,
    scale: int | None = None,
) -> Path:
    """Write frames to an MP4 file; they may come from a generator.

    :param path: of the file, ending in ``.mp4``.
    :param frames: (H, W, 3) or (H, W) uint8 each, all of one shape.
    :param fps: frames per second of the video.
    :param scale: as in :class:`VideoWriter`.
    :return: the path.
    :raises ValueError: for no frames, and as :class:`VideoWriter` does.
    :raises ImportError: without the extra ``video``.
    :raises OSError: if the file cannot be written.
    """
    with VideoWriter(path, fps=fps, scale=scale) as video:
        for frame in frames:
            video.add(frame)
    return video.path


def _checked_frame(frame: Any) -> NDArray[np.uint8]:
    """Return the frame, contiguous; refuse what is none."""
    if frame is None:
        raise ValueError("got None for a frame: make the environment with render_mode='rgb_array'")
    pixels = np.asarray(frame)
    is_picture = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if not is_picture or 0 in pixels.shape:
        raise ValueError(f"a frame has the shape (H, W, 3) or (H, W), got {pixels.shape}")
    if pixels.dtype != np.uint8:
        raise ValueError(
            f"the pixels of a frame are uint8, 0 to 255, got {pixels.dtype}:"
            " (255 * frame).astype(np.uint8) if they are 0 to 1"
        )
    return np.ascontiguousarray(pixels)


def _clear_away(encoder: Encoder, aside: Path) -> None:
    encoder.kill()
    aside.unlink(missing_ok=True)
