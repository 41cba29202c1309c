"""The stacks of all environments at one time, split into frames and quick to compare."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

#: The pixels of each frame of one stack, oldest first.
Stack = list[bytes]

#: OpenCV splits and merges images of up to so many channels.
CV_MAX_CHANNELS = 512


class Page:
    """Stacks of ``n_stack`` frames of ``n_envs`` environments, written over again and again.

    The oldest frames of all environments are one ``bytearray``, the second oldest another, and so
    on: equal ones are told by a comparison of memory, the fastest that Python has.

    :param image_shape: (h, w).
    """

    def __init__(self, n_stack: int, n_envs: int, image_shape: tuple[int, int]) -> None:
        height, width = image_shape
        self._memory = [bytearray(n_envs * height * width) for _ in range(n_stack)]
        flat = [np.frombuffer(memory, np.uint8) for memory in self._memory]
        #: n_stack arrays (n_envs, h * w) uint8, oldest frames first.
        self.frames = [array.reshape(n_envs, height * width) for array in flat]
        self._rows = [array.reshape(n_envs * height, width) for array in flat]
        self._images = [array.reshape(n_envs, height, width) for array in flat]
        words = (np.uint64, np.uint32, np.uint16, np.uint8)
        widest = next(word for word in words if height * width % np.dtype(word).itemsize == 0)
        # the same memory as wide integers: fewer to compare
        self._words: list[NDArray[Any]] = [frames.view(widest) for frames in self.frames]

    def write(self, images: NDArray[np.uint8]) -> None:
        """Copy stacks (n_envs, h, w, n_stack), whatever their order in memory, to this page."""
        n_stack, dtype = images.shape[3], images.dtype
        if images.flags.c_contiguous and 1 < n_stack <= CV_MAX_CHANNELS and dtype == np.uint8:
            # the frames are interleaved, as wrappers and VecTransposeImage leave them in memory
            cv2.split(images.reshape(-1, images.shape[2], n_stack), self._rows)
            return
        for i, image in enumerate(self._images):
            image[:] = images[..., i]

    def continues(self, before: Page, shift: int) -> bool:
        """Return if each stack is that of the page before, except for ``shift`` new frames."""
        known, expected = self._memory[: len(self._memory) - shift], before._memory[shift:]
        return known == expected

    def envs_that_continue(self, before: Page, shift: int) -> NDArray[np.bool_]:
        """Return of which environments this is true, (n_envs,)."""
        follows = np.ones(len(self.frames[0]), bool)
        for known, expected in zip(self._words, before._words[shift:], strict=False):
            follows &= (known == expected).all(axis=1)
        return follows

    def envs_that_moved(self, before: Page) -> NDArray[np.bool_]:
        """Return in which environments the newest frame is another than before, (n_envs,)."""
        return (self._words[-1] != before._words[-1]).any(axis=1)  # type: ignore[no-any-return]

    def stack(self, env: int) -> Stack:
        """Return the frames of one environment."""
        return [frames[env].tobytes() for frames in self.frames]
