"""Stacks of frames as numbers: which frames of an observation are already stored.

A row of the replay buffer has two stacks for each environment, its observation and the next one::

    number(obs, next_obs)   Page: the stacks split into frames; equal to those of the row before?
                            FrameTable: a number for each new frame, whose pixels go to the store
    append(numbers)         the row counts; frames that only the replaced row used are free
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

#: Which of a transition's two stacks; also how many frames newer it is than the stack before it.
OBS, NEXT_OBS = 0, 1

#: The number of the black frame, which pads the stacks of SB3's VecFrameStack; it is always there.
BLACK = 0

#: OpenCV splits and merges images of up to so many channels.
CV_MAX_CHANNELS = 512


class StackMemory:
    """The two stacks of each transition, as numbers of frames in a table.

    Mostly a stack consists of frames of the one before it in the same environment: an observation
    is the last next observation; a next observation is the observation without its oldest frame,
    plus a new one, which may be equal to the one before. Where pixels say otherwise (episodes
    begin, stacks of colour images) each frame is looked for in the stack before, and what is not
    found there is new.

    :param store: where the pixels lie; empty.
    :param n_rows: transitions of each environment.
    :param n_envs: number of environments.
    :param shape: of a stack: (n_stack, h, w), or (h, w, n_stack) if not ``channels_first``.
    :param channels_first: where the stack axis is.
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
        #: How many rows were written, those included that others have replaced.
        self.n_written = 0
        self._is_writing = False
        # Which numbers a stack has after one step if nothing moves.
        self._one_newer = [*range(1, n_stack), n_stack - 1]
        self._pages = [Page(n_stack, n_envs, self.image_shape) for _ in range(2)]
        # The stacks written last and their numbers (n_envs, n_stack); the other page is free.
        self._last = self._pages[0], np.full((n_envs, n_stack), BLACK, np.int32)

    @property
    def n_filled(self) -> int:
        """How many rows are filled."""
        return min(self.n_written, len(self.numbers))

    @property
    def next_row(self) -> int:
        """The row that will be written next, the oldest if all are filled."""
        return self.n_written % len(self.numbers)

    def checked(self, stacks: Any) -> NDArray[np.uint8]:
        """Return an array of the stacks of all environments.

        :raises ValueError: for arrays of another shape than (n_envs, *shape).
        """
        array: NDArray[np.uint8] = np.asarray(stacks)
        if array.shape != (self.n_envs, *self.shape):
            raise ValueError(
                f"this replay buffer keeps observations of {self.n_envs} environments, shape"
                f" {(self.n_envs, *self.shape)}, and got shape {array.shape};"
                " a buffer that was saved continues with as many environments as it had"
            )
        return array

    def number(
        self, obs: NDArray[np.uint8], next_obs: NDArray[np.uint8]
    ) -> tuple[Numbers, list[int]]:
        """Store the new frames of one more row, which counts once it is appended.

        An interruption (Ctrl-C) leaves the rows as they were, or this one appended as a whole.

        :param obs: what :meth:`checked` returned, as is ``next_obs``.
        :return: numbers of frames (n_envs, 2, n_stack), and the environments whose observation is
            not the next observation of the row before.
        """
        self.recover()
        self._is_writing = True
        numbers = np.empty(self.numbers.shape[1:], np.int32)
        numbers[:, OBS], breaks = self._number(obs, OBS)
        numbers[:, NEXT_OBS], _ = self._number(next_obs, NEXT_OBS)
        return numbers, breaks

    def append(self, numbers: Numbers) -> None:
        """Keep the row that was numbered last, in place of the oldest if all are filled."""
        time, row, n_rows = self.n_written, self.next_row, len(self.numbers)
        self.table.use(numbers, time)
        old_numbers = self.numbers[row].copy()
        self.numbers[row] = numbers
        self.n_written += 1
        if time >= n_rows:
            self.table.end_use(old_numbers, time - n_rows)
        self._is_writing = False

    def read(self, index: Any, which: int) -> Any:
        """Return stacks (..., *shape) uint8, contiguous.

        :param index: any numpy index into (n_rows, n_envs).
        :param which: ``OBS`` or ``NEXT_OBS``.
        """
        numbers = self.numbers[:, :, which][index]
        if not self.n_filled:  # there is no frame yet, not even the black one
            return np.zeros((*numbers.shape[:-1], *self.shape), np.uint8)
        return self._arranged(self.table.store.take(numbers), numbers.shape)

    def gather(self, numbers: th.Tensor) -> Any:
        """Return stacks (B, *shape) uint8 of frames on a device, a tensor there.

        :param numbers: (B, n_stack) on that device.
        """
        frames = cast(DeviceFrames, self.table.store).gather(numbers)
        return self._arranged(frames, numbers.shape)

    def n_frames_when_full(self) -> int:
        """Return how many frames there will be: one a transition, more if episodes are short."""
        n_first = self.n_envs * self.n_stack + 1
        so_far = (self.table.n_frames - n_first) / max(self.n_filled * self.n_envs, 1)
        return n_first + math.ceil(max(so_far, 1.0) * len(self.numbers) * self.n_envs)

    def adopt(self, n_written: int, free: Numbers) -> None:
        """Let rows count that were put into ``numbers``, their frames into the table's store.

        :param n_written: how many rows were written, those included that others have replaced.
        :param free: numbers of the table that nobody uses, see there.
        """
        self.n_written = n_written
        self.table.adopt(*self._uses(), free)
        self._remember_last()

    def recover(self) -> None:
        """If a writing was interrupted, count anew which frames are used, and since when."""
        if self._is_writing:
            self.table.recount(*self._uses())
            self._remember_last()
            self._is_writing = False

    def check_valid(self) -> None:
        """Assert that numbers, uses and frames agree."""
        self.recover()
        uses, first_time = self._uses()
        self.table.check_valid(uses, first_time)
        page = Page(self.n_stack, self.n_envs, self.image_shape)
        page.write(self._images_of(uses[-1, :, NEXT_OBS]))
        assert not page.breaks_after(self._last[0], 0), "frames were overwritten"
        assert not self.table.store.take(np.array([BLACK], np.int32)).any(), "black is not black"

    def _number(self, stacks: NDArray[np.uint8], shift: int) -> tuple[Numbers, list[int]]:
        """Return the numbers (n_envs, n_stack) of stacks (n_envs, *shape).

        :param shift: how many frames newer they should be than the stacks numbered before.
        :return: the numbers, and the environments whose stack is not that.
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
        """Return the numbers of the frames of one stack, each looked for by itself."""
        known = {bytes(len(stack[0])): BLACK}
        known.update(zip(known_stack, known_numbers.tolist(), strict=True))
        for pixels in stack:
            if pixels not in known:
                frame = np.frombuffer(pixels, np.uint8)
                known[pixels] = int(self.table.add(frame[None])[0])
        return [known[pixels] for pixels in stack]

    def _arranged(self, frames: Any, shape: tuple[int, ...]) -> Any:
        """Return frames (..., n_stack, frame_size) as stacks (..., *shape)."""
        stacks = frames.reshape(*shape, *self.image_shape)
        if self.channels_first:
            return stacks
        if isinstance(stacks, np.ndarray):
            return np.ascontiguousarray(np.moveaxis(stacks, -3, -1))
        return stacks.movedim(-3, -1).contiguous()

    def _remember_last(self) -> None:
        """Know again which stacks were written last."""
        numbers = np.full((self.n_envs, self.n_stack), BLACK, np.int32)
        images = np.zeros((self.n_envs, *self.image_shape, self.n_stack), np.uint8)
        if self.n_filled:
            numbers[:] = self.numbers[self.next_row - 1, :, NEXT_OBS]
            images = self._images_of(numbers)
        self._pages[0].write(images)
        self._last = self._pages[0], numbers

    def _uses(self) -> tuple[Numbers, int]:
        """Return the numbers of all rows in the order of their writing, and when that began."""
        first_time = self.n_written - self.n_filled
        in_order = np.roll(self.numbers[: self.n_filled], -first_time, axis=0)
        return in_order, first_time

    def _images_of(self, numbers: Numbers) -> NDArray[np.uint8]:
        """Return stacks (n_envs, h, w, n_stack) of the frames with these numbers."""
        pixels = on_cpu(self.table.store.take(numbers))
        return np.moveaxis(pixels.reshape(*numbers.shape, *self.image_shape), 1, 3)


class StackArray:
    """What SB3's code reads instead of an array of observations (n_rows, n_envs, *shape) uint8.

    :param stacks: where the observations are.
    :param which: ``OBS`` or ``NEXT_OBS``.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, stacks: StackMemory, which: int) -> None:
        self._stacks, self._which = stacks, which

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_rows, n_envs, *shape of a stack)."""
        return (*self._stacks.numbers.shape[:2], *self._stacks.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of an array of this shape; the frames themselves take less."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._stacks.numbers)

    def __getitem__(self, index: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        inside = [part for part in parts[2:] if not isinstance(part, slice) or part != slice(None)]
        if inside or any(part is Ellipsis or part is None for part in parts[:2]):
            raise IndexError(f"only whole stacks can be read, by row and environment: {index}")
        return self._stacks.read(parts[:2], self._which)


class Page:
    """Stacks of ``n_stack`` frames of ``n_envs`` environments, written over again and again.

    The oldest frames of all environments are one ``bytearray``, the second oldest another, and so
    on: whether they are equal is a comparison of memory, the fastest that Python has.

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

    def breaks_after(self, before: Page, shift: int) -> list[int]:
        """Return whose stack is not that of the page before, except for ``shift`` new frames."""
        known, expected = self._memory[: len(self._memory) - shift], before._memory[shift:]
        if known == expected:
            return []
        differs = np.zeros(len(self.frames[0]), bool)
        for known_words, words in zip(self._words, before._words[shift:], strict=False):
            differs |= (known_words != words).any(axis=1)
        breaks: list[int] = np.flatnonzero(differs).tolist()
        return breaks

    def moved_after(self, before: Page) -> NDArray[np.bool_]:
        """Return in which environments the newest frame is another than before, (n_envs,)."""
        return (self._words[-1] != before._words[-1]).any(axis=1)  # type: ignore[no-any-return]

    def stack(self, env: int) -> list[bytes]:
        """Return the pixels of each frame of one environment, oldest first."""
        return [frames[env].tobytes() for frames in self.frames]


class FrameTable:
    """Numbers frames; a frame that is used no more makes room for another.

    Uses have a time, the row in which they are, and end in the order in which they began. So a
    frame is used no more when its last use ends, and it is enough to know when that began.

    :param store: where the pixels lie; empty.
    """

    def __init__(self, store: FrameStore) -> None:
        self.store = store
        #: Numbers below this one have been given out, that of the black frame from the start.
        self.n_numbers = 1
        self._black_is_there = False
        #: When each frame was used last, (at least n_numbers,).
        self._last_use: Numbers = np.zeros(1024, np.int32)
        self._free: list[int] = []

    @property
    def n_frames(self) -> int:
        """How many frames there are, the black one included."""
        return self.n_numbers - len(self._free)

    @property
    def free(self) -> Numbers:
        """Numbers that nobody uses, the one given out next at the end."""
        return np.array(self._free, np.int32)

    def add(self, frames: Frames) -> Numbers:
        """Keep new frames (n, frame_size) and return their numbers (n,), to be used at once."""
        numbers = self._give_numbers(len(frames))
        self.store.put(numbers, frames)
        if not self._black_is_there:
            self._put_black()
        return numbers

    def use(self, numbers: Numbers, time: int) -> None:
        """Note that these frames are used from ``time`` on; never earlier than the last time."""
        self._last_use[numbers] = time

    def end_use(self, numbers: Numbers, time: int) -> None:
        """End the uses of these frames that began at ``time``, the earliest that goes on."""
        unused = set(numbers[self._last_use[numbers] == time].tolist())
        unused.discard(BLACK)
        self._free.extend(unused)

    def frames_in(self, numbers: Numbers) -> Numbers:
        """Return which frames these are, each once, in the order of their numbers; not black."""
        is_there = np.zeros(self.n_numbers, bool)
        is_there[numbers] = True
        is_there[BLACK] = False
        return np.flatnonzero(is_there).astype(np.int32)

    def adopt(self, used: Numbers, first_time: int, free: Numbers) -> None:
        """Take over frames that were put into the store under numbers of another table.

        :param used: numbers used at the times ``first_time``, ``first_time + 1``, ...
        :param free: what :attr:`free` was there: frames to come get the same numbers as there, if
            it agrees with what is used.
        """
        self.n_numbers = 1 + max(int(numbers.max(initial=BLACK)) for numbers in (used, free))
        self._put_black()
        self.recount(used, first_time)
        if sorted(self._free, reverse=True) == sorted(free.tolist(), reverse=True):
            self._free = free.tolist()

    def recount(self, used: Numbers, first_time: int) -> None:
        """Forget all uses but these.

        :param used: numbers used at the times ``first_time``, ``first_time + 1``, ...
        """
        self._last_use = self._last_uses(used, first_time)
        self._free = sorted(self._unused(used), reverse=True)

    def check_valid(self, used: Numbers, first_time: int) -> None:
        """Assert that ends of uses and free places agree with the uses.

        :param used: numbers used at the times ``first_time``, ``first_time + 1``, ...
        """
        assert len(self._free) == len(set(self._free)), "a place is free twice"
        assert set(self._free) == self._unused(used), "a free place is in use or a used one free"
        agrees = self._last_uses(used, first_time)[used] == self._last_use[used]
        assert agrees.all(), "a frame was used at another time than noted"

    def _last_uses(self, used: Numbers, first_time: int) -> Numbers:
        """Return when each frame was used last, 0 for those that are not used."""
        last_uses = np.zeros(max(self.n_numbers, 1024), np.int32)
        times = np.arange(first_time, first_time + len(used), dtype=np.int32)
        # one axis: with a broadcast value NumPy 2.4's `at` reads beyond the arrays
        np.maximum.at(last_uses, used.reshape(-1), times.repeat(math.prod(used.shape[1:])))
        return last_uses

    def _unused(self, used: Numbers) -> set[int]:
        """Return the numbers given out that are not among ``used``."""
        in_use = np.zeros(self.n_numbers, bool)
        in_use[used] = True
        return set(np.flatnonzero(~in_use).tolist()) - {BLACK}

    def _put_black(self) -> None:
        self.store.reserve(self.n_numbers)
        self.store.put(np.array([BLACK], np.int32), np.zeros((1, self.store.frame_size), np.uint8))
        self._black_is_there = True

    def _give_numbers(self, n: int) -> Numbers:
        """Return ``n`` numbers that nobody uses."""
        recycled = [self._free.pop() for _ in range(min(n, len(self._free)))]
        first = self.n_numbers
        if len(recycled) < n:
            self._reserve(n - len(recycled))
        return np.array([*recycled, *range(first, self.n_numbers)], np.int32)

    def _reserve(self, n: int) -> None:
        """Give out ``n`` more numbers."""
        n_numbers = self.n_numbers + n
        self.store.reserve(n_numbers)
        if n_numbers > len(self._last_use):
            more = np.zeros(n_numbers, np.int32)  # twice as many, so that it is rare
            self._last_use = np.concatenate([self._last_use, more])
        self.n_numbers = n_numbers  # last, so that an interruption changes nothing
