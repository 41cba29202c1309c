"""Deduplicated stacks: observations of a replay buffer as indices ("numbers") of stored frames.

A row of the replay buffer has two stacks for each environment, its observation and the next one::

    number(obs, next_obs)   Page: splits stacks into frames and compares them with the previous row
                            FrameTable: assigns a number to each new frame and stores its pixels
    append(numbers)         adds the row; frees frames that only the replaced row used
    read(rows, which)       numbers -> frames of the store -> stacks, for SB3 through StackArray
"""

from __future__ import annotations

import math
from typing import Any, cast

import cv2
import numpy as np
import torch as th
from numpy.typing import NDArray

from sb3_atari_course._common.array_pool import Frames
from sb3_atari_course.replay.frame_stores import DeviceFrames, FrameStore, Numbers, on_cpu

#: Which of a transition's two stacks; also by how many frames it is newer than the previous stack.
OBS, NEXT_OBS = 0, 1

#: Number of the black frame, which pads the stacks of SB3's VecFrameStack; it is always stored.
BLACK = 0

#: Maximum number of channels that OpenCV can split.
CV_MAX_CHANNELS = 512


class StackStorage:
    """The two stacks of each transition, as numbers of stored frames.

    Usually a stack shares frames with the previous stack of its environment: an observation equals
    the previous next observation; a next observation is the observation without its oldest frame,
    plus a new frame, which may equal its predecessor. Where pixels differ from that (start of an
    episode, stacks of RGB images), each frame is searched in the previous stack, and stored if it
    is not found.

    :param store: an empty store for the pixels.
    :param n_rows: number of rows, transitions of each environment.
    :param n_envs: number of environments.
    :param shape: shape of a stack: (n_stack, h, w), or (h, w, n_stack) if not ``channels_first``.
    :param channels_first: whether the stack axis is the first.
    """

    def __init__(
        self,
        store: FrameStore,
        *,
        n_rows: int,
        n_envs: int,
        shape: tuple[int, ...],
        channels_first: bool,
    ) -> None:
        self.table, self.n_envs, self.shape = FrameTable(store), n_envs, shape
        self.channels_first = channels_first
        n_stack, height, width = shape if channels_first else (shape[2], *shape[:2])
        self.n_stack, self.image_shape = n_stack, (height, width)
        #: (n_rows, n_envs, 2, n_stack), newest frame last; zeros take no memory until written.
        self.numbers: Numbers = np.zeros((n_rows, n_envs, 2, n_stack), np.int32)
        #: Number of rows ever written, including overwritten ones.
        self.n_written = 0
        self._is_writing = False
        # positions in a stack after a step with an unchanged screen
        self._one_newer = [*range(1, n_stack), n_stack - 1]
        self._pages = [Page(n_stack, n_envs, self.image_shape) for _ in range(2)]
        # the stacks written last, and their numbers (n_envs, n_stack); the other page is free
        self._last = self._pages[0], np.full((n_envs, n_stack), BLACK, np.int32)

    @property
    def n_filled(self) -> int:
        """Number of filled rows."""
        return min(self.n_written, len(self.numbers))

    @property
    def next_row(self) -> int:
        """Index of the row to write next, the oldest if all are filled."""
        return self.n_written % len(self.numbers)

    def checked(self, stacks: Any) -> NDArray[np.uint8]:
        """Return the stacks of all environments as an array.

        :raises ValueError: for a shape other than ``(n_envs, *shape)``.
        """
        array: NDArray[np.uint8] = np.asarray(stacks)
        if array.shape != (self.n_envs, *self.shape):
            raise ValueError(
                f"this replay buffer stores observations of shape {(self.n_envs, *self.shape)}"
                f" ({self.n_envs} environments), got {array.shape}: continue a saved buffer with"
                " as many environments as before"
            )
        return array

    def number(
        self, obs: NDArray[np.uint8], next_obs: NDArray[np.uint8]
    ) -> tuple[Numbers, list[int]]:
        """Store the new frames of a row, which :meth:`append` adds.

        After an interruption (Ctrl-C) the row is either appended as a whole or missing.

        :param obs: observations as returned by :meth:`checked`; ``next_obs`` likewise.
        :return: numbers of the frames (n_envs, 2, n_stack), and the environments whose observation
            differs from the previous next observation.
        """
        self.recover()
        self._is_writing = True
        numbers = np.empty(self.numbers.shape[1:], np.int32)
        numbers[:, OBS], breaks = self._number(obs, OBS)
        numbers[:, NEXT_OBS], _ = self._number(next_obs, NEXT_OBS)
        return numbers, breaks

    def append(self, numbers: Numbers) -> None:
        """Add the row numbered last, replacing the oldest if all are filled."""
        time, row, n_rows = self.n_written, self.next_row, len(self.numbers)
        self.table.use(numbers, time)
        old_numbers = self.numbers[row].copy()
        self.numbers[row] = numbers
        self.n_written += 1
        if time >= n_rows:
            self.table.end_use(old_numbers, time - n_rows)
        self._is_writing = False

    def read(self, index: Any, which: int) -> Any:
        """Return stacks ``(..., *shape)`` uint8, contiguous.

        :param index: any NumPy index into (n_rows, n_envs).
        :param which: ``OBS`` or ``NEXT_OBS``.
        """
        numbers = self.numbers[:, :, which][index]
        if not self.n_filled:  # no frame is stored yet, not even the black one
            return np.zeros((*numbers.shape[:-1], *self.shape), np.uint8)
        return self._arranged(self.table.store.take(numbers), numbers.shape)

    def gather(self, numbers: th.Tensor) -> Any:
        """Return stacks ``(B, *shape)`` uint8 as a tensor on the device of the frames.

        :param numbers: (B, n_stack) on that device.
        """
        frames = cast(DeviceFrames, self.table.store).gather(numbers)
        return self._arranged(frames, numbers.shape)

    def n_frames_when_full(self) -> int:
        """Return the expected number of frames: one per transition, more with short episodes."""
        n_first = self.n_envs * self.n_stack + 1
        so_far = (self.table.n_frames - n_first) / max(self.n_filled * self.n_envs, 1)
        return n_first + math.ceil(max(so_far, 1.0) * len(self.numbers) * self.n_envs)

    def adopt(self, n_written: int, free: Numbers) -> None:
        """Accept rows that were written into ``numbers``, with their frames in the store.

        :param n_written: number of rows ever written, including overwritten ones.
        :param free: unused numbers, see :meth:`FrameTable.adopt`.
        """
        self.n_written = n_written
        self.table.adopt(*self._uses(), free)
        self._remember_last()

    def recover(self) -> None:
        """Recompute the uses of all frames if writing a row was interrupted."""
        if self._is_writing:
            self.table.recount(*self._uses())
            self._remember_last()
            self._is_writing = False

    def check_valid(self) -> None:
        """Assert that numbers, uses and frames are consistent."""
        self.recover()
        uses, first_time = self._uses()
        self.table.check_valid(uses, first_time)
        page = Page(self.n_stack, self.n_envs, self.image_shape)
        page.write(self._images_of(uses[-1, :, NEXT_OBS]))
        assert not page.breaks_after(self._last[0], 0), "frames were overwritten"
        assert not self.table.store.take(np.array([BLACK], np.int32)).any(), "black is not black"

    def _number(self, stacks: NDArray[np.uint8], shift: int) -> tuple[Numbers, list[int]]:
        """Return the numbers (n_envs, n_stack) of stacks ``(n_envs, *shape)``.

        :param shift: expected number of new frames since the previous stacks.
        :return: the numbers, and the environments where other frames differ too.
        """
        before, numbers = self._last
        page = self._pages[before is self._pages[0]]
        page.write(stacks.transpose(0, 2, 3, 1) if self.channels_first else stacks)
        breaks = page.breaks_after(before, shift)
        if not breaks and not shift:
            return numbers, breaks
        numbers = numbers[:, self._one_newer] if shift else numbers.copy()
        if shift:
            moved = page.moved_after(before)
            moved[breaks] = False
            new = page.frames[-1] if moved.all() else page.frames[-1][moved]
            numbers[moved, -1] = self.table.add(new)
        for env in breaks:
            numbers[env] = self._look_up(page.stack(env), before.stack(env), self._last[1][env])
        self._last = page, numbers
        return numbers, breaks

    def _look_up(
        self, stack: list[bytes], known_stack: list[bytes], known_numbers: Numbers
    ) -> list[int]:
        """Return the numbers of one stack's frames, each searched in the previous stack."""
        known = {bytes(len(stack[0])): BLACK}
        known.update(zip(known_stack, known_numbers.tolist(), strict=True))
        for pixels in stack:
            if pixels not in known:
                frame = np.frombuffer(pixels, np.uint8)
                known[pixels] = int(self.table.add(frame[None])[0])
        return [known[pixels] for pixels in stack]

    def _arranged(self, frames: Any, shape: tuple[int, ...]) -> Any:
        """Return frames (..., n_stack, frame_size) as stacks ``(..., *shape)``."""
        stacks = frames.reshape(*shape, *self.image_shape)
        if self.channels_first:
            return stacks
        if isinstance(stacks, np.ndarray):
            return np.ascontiguousarray(np.moveaxis(stacks, -3, -1))
        return stacks.movedim(-3, -1).contiguous()

    def _remember_last(self) -> None:
        """Restore the stacks written last from the stored rows."""
        numbers = np.full((self.n_envs, self.n_stack), BLACK, np.int32)
        images = np.zeros((self.n_envs, *self.image_shape, self.n_stack), np.uint8)
        if self.n_filled:
            numbers[:] = self.numbers[self.next_row - 1, :, NEXT_OBS]
            images = self._images_of(numbers)
        self._pages[0].write(images)
        self._last = self._pages[0], numbers

    def _uses(self) -> tuple[Numbers, int]:
        """Return the numbers of all rows, oldest first, and the time of the first."""
        first_time = self.n_written - self.n_filled
        in_order = np.roll(self.numbers[: self.n_filled], -first_time, axis=0)
        return in_order, first_time

    def _images_of(self, numbers: Numbers) -> NDArray[np.uint8]:
        """Return the frames with these numbers as stacks (n_envs, h, w, n_stack)."""
        pixels = on_cpu(self.table.store.take(numbers))
        return np.moveaxis(pixels.reshape(*numbers.shape, *self.image_shape), 1, 3)


class StackArray:
    """Read-only view of the stacks as SB3's array of observations, (n_rows, n_envs, ...) uint8.

    :param stacks: storage of the observations.
    :param which: ``OBS`` or ``NEXT_OBS``.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, stacks: StackStorage, which: int) -> None:
        self._stacks, self._which = stacks, which

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape: number of rows, number of environments, shape of a stack."""
        return (*self._stacks.numbers.shape[:2], *self._stacks.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of an array of this shape; the stored frames take less."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._stacks.numbers)

    def __getitem__(self, index: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        inside = [part for part in parts[2:] if not isinstance(part, slice) or part != slice(None)]
        if inside or any(part is Ellipsis or part is None for part in parts[:2]):
            raise IndexError(
                f"observations can be indexed by row and environment only, got {index}"
            )
        return self._stacks.read(parts[:2], self._which)


class Page:
    """Reusable buffer for the stacks of all environments, for fast comparison of frames.

    The oldest frames of all environments are one ``bytearray``, the second oldest another, and so
    on, because comparing ``bytearray`` objects is the fastest comparison that Python has.

    :param n_stack: frames per stack.
    :param n_envs: number of environments.
    :param image_shape: (h, w).
    """

    def __init__(self, n_stack: int, n_envs: int, image_shape: tuple[int, int]) -> None:
        height, width = image_shape
        self._bytes = [bytearray(n_envs * height * width) for _ in range(n_stack)]
        flat = [np.frombuffer(part, np.uint8) for part in self._bytes]
        #: n_stack arrays (n_envs, h * w) uint8, oldest frames first.
        self.frames = [array.reshape(n_envs, height * width) for array in flat]
        self._rows = [array.reshape(n_envs * height, width) for array in flat]
        self._images = [array.reshape(n_envs, height, width) for array in flat]
        dtypes = (np.uint64, np.uint32, np.uint16, np.uint8)
        widest = next(one for one in dtypes if height * width % np.dtype(one).itemsize == 0)
        # views as wide integers, of which there are fewer to compare
        self._words: list[NDArray[Any]] = [frames.view(widest) for frames in self.frames]

    def write(self, images: NDArray[np.uint8]) -> None:
        """Copy stacks (n_envs, h, w, n_stack) of any memory layout into this page."""
        n_stack, dtype = images.shape[3], images.dtype
        if images.flags.c_contiguous and 1 < n_stack <= CV_MAX_CHANNELS and dtype == np.uint8:
            # interleaved frames, the memory layout after wrappers and VecTransposeImage
            cv2.split(images.reshape(-1, images.shape[2], n_stack), self._rows)
            return
        for i, image in enumerate(self._images):
            image[:] = images[..., i]

    def breaks_after(self, before: Page, shift: int) -> list[int]:
        """Return the environments where frames other than the ``shift`` newest ones differ."""
        known, expected = self._bytes[: len(self._bytes) - shift], before._bytes[shift:]
        if known == expected:
            return []
        differs = np.zeros(len(self.frames[0]), bool)
        for known_words, words in zip(self._words, before._words[shift:], strict=False):
            differs |= (known_words != words).any(axis=1)
        breaks: list[int] = np.flatnonzero(differs).tolist()
        return breaks

    def moved_after(self, before: Page) -> NDArray[np.bool_]:
        """Return the environments in which the newest frame has changed, (n_envs,) bool."""
        return (self._words[-1] != before._words[-1]).any(axis=1)  # type: ignore[no-any-return]

    def stack(self, env: int) -> list[bytes]:
        """Return the bytes of each frame of one environment, oldest first."""
        return [frames[env].tobytes() for frames in self.frames]


class FrameTable:
    """Allocation of frame numbers; numbers of frames that are no longer used are reused.

    The time of a use is that of its row. Rows are removed in the order in which they were written,
    so a frame is unused when the row of its last use is removed: only that time is recorded.

    :param store: an empty store for the pixels.
    """

    def __init__(self, store: FrameStore) -> None:
        self.store = store
        #: Numbers below this one have been assigned; the black frame's from the start.
        self.n_numbers = 1
        self._black_is_stored = False
        #: Time of the last use of each frame, (at least n_numbers,).
        self._last_use: Numbers = np.zeros(1024, np.int32)
        self._free: list[int] = []

    @property
    def n_frames(self) -> int:
        """Number of stored frames, including the black one."""
        return self.n_numbers - len(self._free)

    @property
    def free(self) -> Numbers:
        """Unused numbers; the last one is assigned next."""
        return np.array(self._free, np.int32)

    def add(self, frames: Frames) -> Numbers:
        """Store new frames (n, frame_size) and return their numbers (n,), to be used next."""
        numbers = self._assign_numbers(len(frames))
        self.store.put(numbers, frames)
        if not self._black_is_stored:
            self._put_black()
        return numbers

    def use(self, numbers: Numbers, time: int) -> None:
        """Record a use of these frames at ``time``, which never decreases."""
        self._last_use[numbers] = time

    def end_use(self, numbers: Numbers, time: int) -> None:
        """Remove the uses of these frames at ``time``, the oldest time in use."""
        unused = set(numbers[self._last_use[numbers] == time].tolist())
        unused.discard(BLACK)
        self._free.extend(unused)

    def frames_in(self, numbers: Numbers) -> Numbers:
        """Return the distinct numbers among these, sorted, without the black frame's."""
        occurs = np.zeros(self.n_numbers, bool)
        occurs[numbers] = True
        occurs[BLACK] = False
        return np.flatnonzero(occurs).astype(np.int32)

    def adopt(self, used: Numbers, first_time: int, free: Numbers) -> None:
        """Accept frames that were put into the store with the numbers of another table.

        :param used: numbers used at the times ``first_time``, ``first_time + 1``, ...
        :param free: :attr:`free` of the other table. If it is consistent with ``used``, new frames
            get the same numbers as there.
        """
        self.n_numbers = 1 + max(int(numbers.max(initial=BLACK)) for numbers in (used, free))
        self._put_black()
        self.recount(used, first_time)
        if sorted(self._free, reverse=True) == sorted(free.tolist(), reverse=True):
            self._free = free.tolist()

    def recount(self, used: Numbers, first_time: int) -> None:
        """Replace all recorded uses by these.

        :param used: numbers used at the times ``first_time``, ``first_time + 1``, ...
        """
        self._last_use = self._last_uses(used, first_time)
        self._free = sorted(self._unused(used), reverse=True)

    def check_valid(self, used: Numbers, first_time: int) -> None:
        """Assert that times of last use and free numbers agree with the uses.

        :param used: numbers used at the times ``first_time``, ``first_time + 1``, ...
        """
        assert len(self._free) == len(set(self._free)), "a number is free twice"
        assert set(self._free) == self._unused(used), "a free number is used, or an unused one not"
        agrees = self._last_uses(used, first_time)[used] == self._last_use[used]
        assert agrees.all(), "the recorded time of a last use is wrong"

    def _last_uses(self, used: Numbers, first_time: int) -> Numbers:
        """Return the time of the last use of each frame, 0 for unused ones."""
        last_uses = np.zeros(max(self.n_numbers, 1024), np.int32)
        times = np.arange(first_time, first_time + len(used), dtype=np.int32)
        # flat: with a broadcast value ufunc.at of NumPy 2.4 reads beyond the arrays
        np.maximum.at(last_uses, used.reshape(-1), times.repeat(math.prod(used.shape[1:])))
        return last_uses

    def _unused(self, used: Numbers) -> set[int]:
        """Return the assigned numbers that are not in ``used``."""
        in_use = np.zeros(self.n_numbers, bool)
        in_use[used] = True
        return set(np.flatnonzero(~in_use).tolist()) - {BLACK}

    def _put_black(self) -> None:
        self.store.reserve(self.n_numbers)
        self.store.put(np.array([BLACK], np.int32), np.zeros((1, self.store.frame_size), np.uint8))
        self._black_is_stored = True

    def _assign_numbers(self, n: int) -> Numbers:
        """Return ``n`` unused numbers."""
        recycled = [self._free.pop() for _ in range(min(n, len(self._free)))]
        first = self.n_numbers
        if len(recycled) < n:
            self._reserve(n - len(recycled))
        return np.array([*recycled, *range(first, self.n_numbers)], np.int32)

    def _reserve(self, n: int) -> None:
        """Assign ``n`` new numbers."""
        n_numbers = self.n_numbers + n
        self.store.reserve(n_numbers)
        if n_numbers > len(self._last_use):
            more = np.zeros(n_numbers, np.int32)  # doubled, so that it is rare
            self._last_use = np.concatenate([self._last_use, more])
        self.n_numbers = n_numbers  # last, so that an interruption has no effect
