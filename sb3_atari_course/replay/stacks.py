"""Deduplicated stacks: observations of a replay buffer as ids of stored frames.

A row of the replay buffer has two stacks for each environment, its observation and the next one::

    store_frames(obs, next_obs)   StackBuffer: splits stacks into frames, and compares them with
                                  those of the previous row
                                  FrameTable: assigns an id to each new frame, stores its pixels
    append(frame_ids)             adds the row; frees frames that only the replaced row used
    read(rows, which)             frame ids -> frames of the store -> stacks, for SB3 (StackArray)
"""

from __future__ import annotations

import math
from typing import Any, cast

import cv2
import numpy as np
import torch as th
from numpy.typing import NDArray

from sb3_atari_course._common.array_pool import Frames
from sb3_atari_course.replay.frame_stores import DeviceFrames, FrameIds, FrameStore, on_cpu

#: Which of a transition's two stacks; also by how many frames it is newer than the previous stack.
OBS, NEXT_OBS = 0, 1

#: Id of the black frame, which pads the stacks of SB3's VecFrameStack; it is always stored.
BLACK = 0

#: Maximum number of channels that OpenCV can split.
CV_MAX_CHANNELS = 512


class StackStorage:
    """The two stacks of each transition, as ids of stored frames.

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
        self.frame_ids: FrameIds = np.zeros((n_rows, n_envs, 2, n_stack), np.int32)
        #: Number of rows ever written, including overwritten ones.
        self.n_written = 0
        self._is_writing = False
        # positions in a stack after a step with an unchanged frame
        self._one_newer = [*range(1, n_stack), n_stack - 1]
        self._buffers = [StackBuffer(n_stack, n_envs, self.image_shape) for _ in range(2)]
        # the stacks written last, and their frame ids (n_envs, n_stack); the other buffer is free
        self._last = self._buffers[0], np.full((n_envs, n_stack), BLACK, np.int32)

    @property
    def n_filled(self) -> int:
        """Number of filled rows."""
        return min(self.n_written, len(self.frame_ids))

    @property
    def next_row(self) -> int:
        """Index of the row to write next, the oldest if all are filled."""
        return self.n_written % len(self.frame_ids)

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

    def store_frames(
        self, obs: NDArray[np.uint8], next_obs: NDArray[np.uint8]
    ) -> tuple[FrameIds, list[int]]:
        """Store the new frames of a row, which :meth:`append` adds.

        After an interruption (Ctrl-C) the row is either appended as a whole or missing.

        :param obs: observations as returned by :meth:`checked`; ``next_obs`` likewise.
        :return: ids of the frames (n_envs, 2, n_stack), and the environments whose observation
            differs from the previous next observation.
        """
        self.recover()
        self._is_writing = True
        frame_ids = np.empty(self.frame_ids.shape[1:], np.int32)
        frame_ids[:, OBS], breaks = self._ids_of(obs, OBS)
        frame_ids[:, NEXT_OBS], _ = self._ids_of(next_obs, NEXT_OBS)
        return frame_ids, breaks

    def append(self, frame_ids: FrameIds) -> None:
        """Add the row whose frames were stored last, replacing the oldest if all are filled."""
        time, row, n_rows = self.n_written, self.next_row, len(self.frame_ids)
        self.table.use(frame_ids, time)
        old_ids = self.frame_ids[row].copy()
        self.frame_ids[row] = frame_ids
        self.n_written += 1
        if time >= n_rows:
            self.table.end_use(old_ids, time - n_rows)
        self._is_writing = False

    def read(self, index: Any, which: int) -> Any:
        """Return stacks ``(..., *shape)`` uint8, contiguous.

        :param index: any NumPy index into (n_rows, n_envs).
        :param which: ``OBS`` or ``NEXT_OBS``.
        """
        frame_ids = self.frame_ids[:, :, which][index]
        if not self.n_filled:  # no frame is stored yet, not even the black one
            return np.zeros((*frame_ids.shape[:-1], *self.shape), np.uint8)
        return self._arranged(self.table.store.take(frame_ids), frame_ids.shape)

    def gather(self, frame_ids: th.Tensor) -> Any:
        """Return stacks ``(B, *shape)`` uint8 as a tensor on the device of the frames.

        :param frame_ids: (B, n_stack) on that device.
        """
        frames = cast(DeviceFrames, self.table.store).gather(frame_ids)
        return self._arranged(frames, frame_ids.shape)

    def n_frames_when_full(self) -> int:
        """Return the expected number of frames: one per transition, more with short episodes."""
        n_first = self.n_envs * self.n_stack + 1
        so_far = (self.table.n_frames - n_first) / max(self.n_filled * self.n_envs, 1)
        return n_first + math.ceil(max(so_far, 1.0) * len(self.frame_ids) * self.n_envs)

    def restore(self, n_written: int, free: FrameIds) -> None:
        """Restore the state after rows were written into ``frame_ids``, and frames into the store.

        :param n_written: number of rows ever written, including overwritten ones.
        :param free: unused frame ids, see :meth:`FrameTable.restore`.
        """
        self.n_written = n_written
        self.table.restore(*self._uses(), free)
        self._remember_last()

    def recover(self) -> None:
        """Recompute the uses of all frames if writing a row was interrupted."""
        if self._is_writing:
            self.table.recount(*self._uses())
            self._remember_last()
            self._is_writing = False

    def check_valid(self) -> None:
        """Assert that frame ids, uses and frames are consistent."""
        self.recover()
        uses, first_time = self._uses()
        self.table.check_valid(uses, first_time)
        newest = StackBuffer(self.n_stack, self.n_envs, self.image_shape)
        newest.write(self._images_of(uses[-1, :, NEXT_OBS]))
        assert not newest.breaks_after(self._last[0], 0), "frames were overwritten"
        padding = self.table.store.take(np.array([BLACK], np.int32))
        assert not padding.any(), "padding frame was overwritten"

    def _ids_of(self, stacks: NDArray[np.uint8], shift: int) -> tuple[FrameIds, list[int]]:
        """Return the frame ids (n_envs, n_stack) of stacks ``(n_envs, *shape)``.

        :param shift: expected number of new frames since the previous stacks.
        :return: the frame ids, and the environments where other frames differ too.
        """
        before, frame_ids = self._last
        current = self._buffers[before is self._buffers[0]]
        current.write(stacks.transpose(0, 2, 3, 1) if self.channels_first else stacks)
        breaks = current.breaks_after(before, shift)
        if not breaks and not shift:
            return frame_ids, breaks
        frame_ids = frame_ids[:, self._one_newer] if shift else frame_ids.copy()
        if shift:
            moved = current.moved_after(before)
            moved[breaks] = False
            new = current.frames[-1] if moved.all() else current.frames[-1][moved]
            frame_ids[moved, -1] = self.table.add(new)
        for env in breaks:
            known_ids = self._last[1][env]
            frame_ids[env] = self._look_up(current.stack(env), before.stack(env), known_ids)
        self._last = current, frame_ids
        return frame_ids, breaks

    def _look_up(
        self, stack: list[bytes], known_stack: list[bytes], known_ids: FrameIds
    ) -> list[int]:
        """Return the ids of one stack's frames, each searched in the previous stack."""
        known = {bytes(len(stack[0])): BLACK}
        known.update(zip(known_stack, known_ids.tolist(), strict=True))
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
        frame_ids = np.full((self.n_envs, self.n_stack), BLACK, np.int32)
        images = np.zeros((self.n_envs, *self.image_shape, self.n_stack), np.uint8)
        if self.n_filled:
            frame_ids[:] = self.frame_ids[self.next_row - 1, :, NEXT_OBS]
            images = self._images_of(frame_ids)
        self._buffers[0].write(images)
        self._last = self._buffers[0], frame_ids

    def _uses(self) -> tuple[FrameIds, int]:
        """Return the frame ids of all rows, oldest first, and the time of the first."""
        first_time = self.n_written - self.n_filled
        in_order = np.roll(self.frame_ids[: self.n_filled], -first_time, axis=0)
        return in_order, first_time

    def _images_of(self, frame_ids: FrameIds) -> NDArray[np.uint8]:
        """Return the frames with these ids as stacks (n_envs, h, w, n_stack)."""
        pixels = on_cpu(self.table.store.take(frame_ids))
        return np.moveaxis(pixels.reshape(*frame_ids.shape, *self.image_shape), 1, 3)


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
        return (*self._stacks.frame_ids.shape[:2], *self._stacks.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of an array of this shape; the stored frames take less."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._stacks.frame_ids)

    def __getitem__(self, index: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        inside = [part for part in parts[2:] if not isinstance(part, slice) or part != slice(None)]
        if inside or any(part is Ellipsis or part is None for part in parts[:2]):
            raise IndexError(
                f"observations can be indexed by row and environment only, got {index}"
            )
        return self._stacks.read(parts[:2], self._which)


class StackBuffer:
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
        """Copy stacks (n_envs, h, w, n_stack) of any memory layout into this buffer."""
        n_stack, dtype = images.shape[3], images.dtype
        if images.flags.c_contiguous and 1 < n_stack <= CV_MAX_CHANNELS and dtype == np.uint8:
            # interleaved frames, the memory layout after wrappers and VecTransposeImage
            cv2.split(images.reshape(-1, images.shape[2], n_stack), self._rows)
            return
        for i, image in enumerate(self._images):
            image[:] = images[..., i]

    def breaks_after(self, before: StackBuffer, shift: int) -> list[int]:
        """Return the environments where frames other than the ``shift`` newest ones differ."""
        known, expected = self._bytes[: len(self._bytes) - shift], before._bytes[shift:]
        if known == expected:
            return []
        differs = np.zeros(len(self.frames[0]), bool)
        for known_words, words in zip(self._words, before._words[shift:], strict=False):
            differs |= (known_words != words).any(axis=1)
        breaks: list[int] = np.flatnonzero(differs).tolist()
        return breaks

    def moved_after(self, before: StackBuffer) -> NDArray[np.bool_]:
        """Return the environments in which the newest frame has changed, (n_envs,) bool."""
        return (self._words[-1] != before._words[-1]).any(axis=1)  # type: ignore[no-any-return]

    def stack(self, env: int) -> list[bytes]:
        """Return the bytes of each frame of one environment, oldest first."""
        return [frames[env].tobytes() for frames in self.frames]


class FrameTable:
    """Allocation of frame ids; ids of frames that are no longer used are reused.

    The time of a use is that of its row. Rows are removed in the order in which they were written,
    so a frame is unused when the row of its last use is removed: only that time is recorded.

    :param store: an empty store for the pixels.
    """

    def __init__(self, store: FrameStore) -> None:
        self.store = store
        #: Ids below this one have been assigned; the black frame's from the start.
        self.n_ids = 1
        self._black_is_stored = False
        #: Time of the last use of each frame, (at least n_ids,).
        self._last_use: FrameIds = np.zeros(1024, np.int32)
        self._free: list[int] = []

    @property
    def n_frames(self) -> int:
        """Number of stored frames, including the black one."""
        return self.n_ids - len(self._free)

    @property
    def free(self) -> FrameIds:
        """Unused frame ids; the last one is assigned next."""
        return np.array(self._free, np.int32)

    def add(self, frames: Frames) -> FrameIds:
        """Store new frames (n, frame_size) and return their ids (n,), to be used next."""
        frame_ids = self._assign_ids(len(frames))
        self.store.put(frame_ids, frames)
        if not self._black_is_stored:
            self._put_black()
        return frame_ids

    def use(self, frame_ids: FrameIds, time: int) -> None:
        """Record a use of these frames at ``time``, which never decreases."""
        self._last_use[frame_ids] = time

    def end_use(self, frame_ids: FrameIds, time: int) -> None:
        """Remove the uses of these frames at ``time``, the oldest time in use."""
        unused = set(frame_ids[self._last_use[frame_ids] == time].tolist())
        unused.discard(BLACK)
        self._free.extend(unused)

    def frames_in(self, frame_ids: FrameIds) -> FrameIds:
        """Return the distinct ids among these, sorted, without the black frame's."""
        occurs = np.zeros(self.n_ids, bool)
        occurs[frame_ids] = True
        occurs[BLACK] = False
        return np.flatnonzero(occurs).astype(np.int32)

    def restore(self, used: FrameIds, first_time: int, free: FrameIds) -> None:
        """Accept frames that were put into the store with the ids of another table.

        :param used: frame ids used at the times ``first_time``, ``first_time + 1``, ...
        :param free: :attr:`free` of the other table. If it is consistent with ``used``, new frames
            get the same ids as there.
        """
        self.n_ids = 1 + max(int(frame_ids.max(initial=BLACK)) for frame_ids in (used, free))
        self._put_black()
        self.recount(used, first_time)
        if sorted(self._free, reverse=True) == sorted(free.tolist(), reverse=True):
            self._free = free.tolist()

    def recount(self, used: FrameIds, first_time: int) -> None:
        """Replace all recorded uses by these.

        :param used: frame ids used at the times ``first_time``, ``first_time + 1``, ...
        """
        self._last_use = self._last_uses(used, first_time)
        self._free = sorted(self._unused(used), reverse=True)

    def check_valid(self, used: FrameIds, first_time: int) -> None:
        """Assert that times of last use and free ids agree with the uses.

        :param used: frame ids used at the times ``first_time``, ``first_time + 1``, ...
        """
        assert len(self._free) == len(set(self._free)), "a frame id is listed as free twice"
        assert set(self._free) == self._unused(used), "free ids are not the unused ones"
        agrees = self._last_uses(used, first_time)[used] == self._last_use[used]
        assert agrees.all(), "the recorded time of a last use is wrong"

    def _last_uses(self, used: FrameIds, first_time: int) -> FrameIds:
        """Return the time of the last use of each frame, 0 for unused ones."""
        last_uses = np.zeros(max(self.n_ids, 1024), np.int32)
        times = np.arange(first_time, first_time + len(used), dtype=np.int32)
        # flat: with a broadcast value ufunc.at of NumPy 2.4 reads beyond the arrays
        np.maximum.at(last_uses, used.reshape(-1), times.repeat(math.prod(used.shape[1:])))
        return last_uses

    def _unused(self, used: FrameIds) -> set[int]:
        """Return the assigned ids that are not in ``used``."""
        in_use = np.zeros(self.n_ids, bool)
        in_use[used] = True
        return set(np.flatnonzero(~in_use).tolist()) - {BLACK}

    def _put_black(self) -> None:
        self.store.reserve(self.n_ids)
        self.store.put(np.array([BLACK], np.int32), np.zeros((1, self.store.frame_size), np.uint8))
        self._black_is_stored = True

    def _assign_ids(self, n: int) -> FrameIds:
        """Return ``n`` unused frame ids."""
        recycled = [self._free.pop() for _ in range(min(n, len(self._free)))]
        first = self.n_ids
        if len(recycled) < n:
            self._reserve(n - len(recycled))
        return np.array([*recycled, *range(first, self.n_ids)], np.int32)

    def _reserve(self, n: int) -> None:
        """Assign ``n`` new frame ids."""
        n_ids = self.n_ids + n
        self.store.reserve(n_ids)
        if n_ids > len(self._last_use):
            more = np.zeros(n_ids, np.int32)  # doubled, so that it is rare
            self._last_use = np.concatenate([self._last_use, more])
        self.n_ids = n_ids  # last, so that an interruption has no effect
