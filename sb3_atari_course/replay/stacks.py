"""Stacks of frames as numbers: which frames of a stack are already there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray

from sb3_atari_course.replay.device_frames import DeviceFrames
from sb3_atari_course.replay.files import saved_array
from sb3_atari_course.replay.frame_stores import Numbers
from sb3_atari_course.replay.frame_table import BLACK, FrameTable
from sb3_atari_course.replay.page import Page, Stack

#: Which of a transition's two stacks; also how many frames newer it is than the stack before it.
OBS, NEXT_OBS = 0, 1


class StackMemory:
    """The two stacks of each transition, as numbers of frames in a table.

    Mostly a stack consists of frames of the one before it in the same environment: an observation
    is the last next observation; a next observation is the observation without its oldest frame,
    plus a new one, which may be equal to the one before. Where pixels say otherwise (episodes
    begin, stacks of colour images) each frame is looked for in the stack before, and what is not
    found there is new.

    :param table: keeps the frames.
    :param n_rows: transitions of each environment.
    :param n_envs: number of environments.
    :param shape: of a stack: (n_stack, h, w), or (h, w, n_stack) if not ``channels_first``.
    :param channels_first: where the stack axis is.
    """

    def __init__(
        self,
        table: FrameTable,
        *,
        n_rows: int,
        n_envs: int,
        shape: tuple[int, ...],
        channels_first: bool,
    ) -> None:
        self.table, self.n_envs, self.shape = table, n_envs, shape
        self.channels_first = channels_first
        n_stack, height, width = shape if channels_first else (shape[2], *shape[:2])
        self.n_stack, self.image_shape = n_stack, (height, width)
        #: (n_rows, n_envs, 2, n_stack), newest frame last; zeros take no memory until written.
        self.numbers: Numbers = np.zeros((n_rows, n_envs, 2, n_stack), np.int32)
        self._n_written = 0
        self._is_writing = False
        # Which numbers a stack has after one step if nothing moves.
        self._one_newer = [*range(1, n_stack), n_stack - 1]
        self._all_envs = np.ones(n_envs, bool)
        self._pages = [Page(n_stack, n_envs, (height, width)) for _ in range(2)]
        # The stacks written last and their numbers (n_envs, n_stack); the other page is free.
        self._last = self._pages[0], np.full((n_envs, n_stack), BLACK, np.int32)

    @property
    def n_written(self) -> int:
        """How many rows were written, those included that others have replaced."""
        return self._n_written

    @property
    def n_filled(self) -> int:
        """How many rows are filled."""
        return min(self._n_written, len(self.numbers))

    @property
    def next_row(self) -> int:
        """The row that will be written next, the oldest if all are filled."""
        return self._n_written % len(self.numbers)

    def checked(self, stacks: Any) -> NDArray[np.uint8]:
        """Return an array of the stacks of all environments.

        :raises ValueError: for arrays of another shape than (n_envs, *shape).
        """
        stacks = np.asarray(stacks)
        if stacks.shape != (self.n_envs, *self.shape):
            raise ValueError(
                f"this memory keeps observations of {self.n_envs} environments, shape"
                f" {(self.n_envs, *self.shape)}, and got shape {stacks.shape};"
                " a memory that was saved goes on with as many environments as it had"
            )
        return stacks  # type: ignore[no-any-return]

    def write(self, obs: NDArray[np.uint8], next_obs: NDArray[np.uint8]) -> None:
        """Keep the stacks (n_envs, *shape) of one more row, in place of the oldest if full.

        :param obs: what :meth:`checked` returned, as is ``next_obs``.
        """
        self.begin_row(obs)
        self.end_row(next_obs)

    def begin_row(self, obs: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
        """Give numbers to the observations of one more row, which counts from :meth:`end_row` on.

        An interruption (Ctrl-C) leaves the row as it was or written as a whole.

        :return: (n_envs,) if they are the next observations of the row before; None if all are.
        """
        self.recover()
        self._is_writing = True
        self._obs_numbers, continues = self._number(obs, OBS)
        return continues

    def end_row(self, next_obs: NDArray[np.uint8]) -> None:
        """Keep the row that was begun, in place of the oldest if full."""
        numbers = np.empty(self.numbers.shape[1:], np.int32)
        numbers[:, OBS] = self._obs_numbers
        numbers[:, NEXT_OBS], _ = self._number(next_obs, NEXT_OBS)
        self.table.use(numbers, self._n_written)
        old_numbers = self.numbers[self.next_row].copy()
        self.numbers[self.next_row] = numbers
        self._n_written += 1
        if self._n_written > len(self.numbers):
            self.table.end_use(old_numbers, self._n_written - 1 - len(self.numbers))
        self._is_writing = False

    def read(self, index: Any, which: int) -> Any:
        """Return stacks (..., *shape) uint8, contiguous.

        :param index: any numpy index into (n_rows, n_envs).
        :param which: ``OBS`` or ``NEXT_OBS``.
        """
        numbers = self.numbers[:, :, which][index]
        if not self.n_filled:  # there is no frame yet, not even the black one
            return np.zeros((*numbers.shape[:-1], *self.shape), np.uint8)
        return self._arranged(self.table.take(numbers), numbers.shape)

    def gather(self, numbers: th.Tensor) -> th.Tensor:
        """Return stacks (B, *shape) uint8 of frames on a device.

        :param numbers: (B, n_stack) on that device.
        """
        store = self.table.store
        assert isinstance(store, DeviceFrames)
        stacks: th.Tensor = self._arranged(store.gather(numbers), numbers.shape)
        return stacks

    def _arranged(self, frames: Any, shape: tuple[int, ...]) -> Any:
        """Return frames (..., n_stack, frame_size) as stacks (..., *shape)."""
        stacks = frames.reshape(*shape, *self.image_shape)
        if self.channels_first:
            return stacks
        if isinstance(stacks, np.ndarray):
            return np.ascontiguousarray(np.moveaxis(stacks, -3, -1))
        return stacks.movedim(-3, -1).contiguous()

    def n_frames_when_full(self) -> int:
        """Return how many frames there will be: one a transition, more if episodes are short."""
        if self.n_filled == len(self.numbers):
            return self.table.n_frames
        n_first = self.n_envs * self.n_stack + 1
        n_transitions = self.n_filled * self.n_envs
        so_far = (self.table.n_frames - n_first) / n_transitions if n_transitions else 1.0
        return n_first + math.ceil(max(so_far, 1.0) * len(self.numbers) * self.n_envs)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that is filled, to be saved."""
        return {"numbers": self.numbers[: self.n_filled], **self.table.arrays()}

    def restore(self, arrays: dict[str, NDArray[Any]], *, pos: int, full: bool) -> None:
        """Take over what :meth:`arrays` returned, into an empty memory.

        :param pos: the row to be written next.
        :param full: if all rows are filled.
        :raises ReplayFileError: if the arrays do not belong together or into this memory.
        """
        n_rows = len(self.numbers) if full else pos
        numbers = saved_array(arrays, "numbers", np.int32, (n_rows, *self.numbers.shape[1:]))
        self.numbers[:n_rows] = numbers
        self._n_written = n_rows + pos if full else pos
        self.table.restore(arrays, *self._uses())
        self._remember_last()

    @property
    def most_numbers(self) -> int:
        """How many numbers of frames can be given out: each stack of one row more is new."""
        return 1 + (len(self.numbers) + 1) * math.prod(self.numbers.shape[1:])

    def adopt(self, n_written: int, free: Numbers) -> None:
        """Let rows count that were put into ``numbers``, their frames into the table's store.

        :param n_written: how many rows were written, those included that others have replaced.
        :param free: numbers of the table that nobody uses, see there.
        """
        self._n_written = n_written
        self.table.adopt(*self._uses(), free)
        self._remember_last()

    def check_valid(self) -> None:
        """Assert that numbers, uses and frames agree."""
        self.recover()
        uses, first_time = self._uses()
        self.table.check_valid(uses, first_time)
        page = Page(self.n_stack, self.n_envs, self.image_shape)
        page.write(self._images_of(uses[-1, :, NEXT_OBS]))
        assert page.continues(self._last[0], 0), "frames were overwritten"
        assert not self.table.take(np.array([BLACK], np.int32)).any(), "black is not black"

    def recover(self) -> None:
        """If a writing was interrupted, count anew which frames are used, and since when."""
        if self._is_writing:
            self.table.recount(*self._uses())
            self._remember_last()
            self._is_writing = False

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
        first_time = self._n_written - self.n_filled
        in_order = np.roll(self.numbers[: self.n_filled], -first_time, axis=0)
        return in_order, first_time

    def _images_of(self, numbers: Numbers) -> NDArray[np.uint8]:
        """Return stacks (n_envs, h, w, n_stack) of the frames with these numbers."""
        frames = self.table.take(numbers)
        pixels = frames if isinstance(frames, np.ndarray) else frames.cpu().numpy()
        return np.moveaxis(pixels.reshape(*numbers.shape, *self.image_shape), 1, 3)

    def _number(
        self, stacks: NDArray[np.uint8], shift: int
    ) -> tuple[Numbers, NDArray[np.bool_] | None]:
        """Return the numbers (n_envs, n_stack) of stacks (n_envs, *shape).

        :param shift: how many frames newer they should be than the stacks numbered before.
        :return: the numbers, and which stacks (n_envs,) are that; None if all are.
        """
        before, numbers = self._last
        page = self._pages[before is self._pages[0]]
        page.write(stacks.transpose(0, 2, 3, 1) if self.channels_first else stacks)
        all_follow = page.continues(before, shift)
        if all_follow and not shift:
            return numbers, None
        follows = self._all_envs if all_follow else page.envs_that_continue(before, shift)
        if shift:
            numbers = numbers[:, self._one_newer]
            moved = follows & page.envs_that_moved(before)
            new = page.frames[-1] if moved.all() else page.frames[-1][moved]
            numbers[moved, -1] = self.table.add(new)
        else:
            numbers = numbers.copy()
        if not all_follow:
            for env in np.flatnonzero(~follows).tolist():
                known = before.stack(env), self._last[1][env]
                numbers[env] = self._look_up(page.stack(env), *known)
        self._last = page, numbers
        return numbers, None if all_follow else follows

    def _look_up(self, stack: Stack, known_stack: Stack, known_numbers: Numbers) -> list[int]:
        """Return the numbers of the frames of one stack, each looked for by itself."""
        known = {bytes(len(stack[0])): BLACK}
        known.update(zip(known_stack, known_numbers.tolist(), strict=True))
        for pixels in stack:
            if pixels not in known:
                frame = np.frombuffer(pixels, np.uint8)
                known[pixels] = int(self.table.add(frame[None])[0])
        return [known[pixels] for pixels in stack]
