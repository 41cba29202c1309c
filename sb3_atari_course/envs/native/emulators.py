"""Parallel batches of ale-py's vector environment, and episode bookkeeping of their games.

``Batches`` runs steps in each ``Batch`` (one ale-py vector environment whose frames are cropped
and resized), and ``EpisodeCounter`` derives life losses, ends of games, scores and lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from sb3_atari_course.wrappers.screen import Crop

Frames = NDArray[np.uint8]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]


class RawStep(NamedTuple):
    """Result of a reset or a step of n games, as ale-py reports it.

    A game that is over has been reset: ``lives`` and the frame numbers are those of the new game.
    """

    #: (n,) int32, unclipped
    rewards: NDArray[np.int32]
    #: (n,) bool, game over
    terminated: NDArray[np.bool_]
    #: (n,) bool, truncated by the frame limit
    truncated: NDArray[np.bool_]
    #: (n,) int32
    lives: NDArray[np.int32]
    #: (n,) int32, frames since the emulator was seeded
    frame_number: NDArray[np.int32]
    #: (n,) int32, frames of the game, no-ops included
    episode_frame_number: NDArray[np.int32]
    #: index of a game that is over -> its last frame (h, w) uint8
    last_frames: dict[int, Frames]


class Batch:
    """A batch of n games, run by a thread that waits for ale-py and then resizes the frames.

    Waiting and resizing release the GIL, so batches run in parallel. Requests are executed one
    after the other. An interrupt (Ctrl-C) reaches the main thread only, so every request is
    completed and every result of ale-py is received.

    :param n_envs: number of games.
    :param n_threads: threads of ale-py.
    :param arguments: for ale-py's AtariVectorEnv: the game.
    :param shape: (h, w) of the frames in pixels.
    :param crop: (top, bottom, left, right) in pixels; None for the whole frame, which ale-py
        resizes itself.
    :param screen: (rows, columns) of the emulator's frame, used with a crop.
    """

    def __init__(
        self,
        n_envs: int,
        n_threads: int,
        *,
        arguments: dict[str, Any],
        shape: tuple[int, int],
        crop: Crop | None,
        screen: tuple[int, int],
    ) -> None:
        self.n_envs, self.shape, self.crop = n_envs, shape, crop
        height, width = shape if crop is None else screen
        self._env = AtariVectorEnv(
            **arguments,
            num_envs=n_envs,
            num_threads=n_threads,
            img_height=height,
            img_width=width,
            stack_num=1,
            grayscale=True,
            episodic_life=False,  # it would reset the game at a life loss
            life_loss_info=False,  # redundant with the number of lives
            reward_clipping=False,  # the score would be lost
            use_fire_reset=False,
            autoreset_mode=AutoresetMode.SAME_STEP,
        )
        self.meanings = [action.name for action in self._env.ale.get_action_set()]
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="atari-batch")

    def submit(
        self, what: Literal["reset", "step"], numbers: NDArray[np.int32], frames: Frames
    ) -> Future[RawStep]:
        """Start a reset or a step.

        :param numbers: (n,) seeds from 0 (-1 continues the random sequence), or actions inside the
            action space (others would block the batch forever).
        :param frames: (n, h, w), to be filled with the new frames.
        """
        run = self._reset if what == "reset" else self._step
        return self._worker.submit(run, numbers, frames)

    def close(self) -> None:
        """Wait for the current request and stop the threads."""
        self._worker.shutdown(wait=True, cancel_futures=True)
        del self._env

    def _reset(self, seeds: NDArray[np.int32], frames: Frames) -> RawStep:
        screens, info = self._env.reset(seed=seeds)
        no = np.zeros(self.n_envs, bool)
        return self._result(screens, no.astype(np.int32), no, no, info, frames)

    def _step(self, actions: NDArray[np.int32], frames: Frames) -> RawStep:
        self._env.send(actions)
        return self._result(*self._env.recv(), frames)

    def _result(
        self,
        screens: Frames,  # (n, 1, rows, columns)
        rewards: NDArray[np.int32],
        terminated: Flags,
        truncated: Flags,
        info: dict[str, Any],
        frames: Frames,
    ) -> RawStep:
        """Fill ``frames`` and return the rest of what ale-py returned."""
        for screen, frame in zip(screens[:, 0], frames, strict=True):
            self._resize(screen, frame)
        last_frames = {}
        for i in np.flatnonzero(terminated | truncated).tolist():
            last_frames[i] = np.empty(self.shape, np.uint8)
            self._resize(info["final_obs"][i, 0], last_frames[i])
        return RawStep(
            rewards,
            terminated,
            truncated,
            info["lives"],
            info["frame_number"],
            info["episode_frame_number"],
            last_frames,
        )

    def _resize(self, screen: Frames, frame: Frames) -> None:
        """Crop and resize an emulator frame into ``frame``, (h, w), as ``crop_gray_resize``."""
        if self.crop is None:  # ale-py has resized it
            frame[...] = screen
            return
        top, bottom, left, right = self.crop
        size = (self.shape[1], self.shape[0])
        cv2.resize(screen[top:bottom, left:right], size, frame, interpolation=cv2.INTER_AREA)


class Batches:
    """Resets and steps of all games, split into parallel batches.

    :param make_batch: makes a batch from its numbers of games and of ale-py's threads.
    :param sizes: these two numbers for each batch, see :func:`batch_sizes`.
    """

    def __init__(
        self, make_batch: Callable[[int, int], Batch], sizes: Sequence[tuple[int, int]]
    ) -> None:
        self._batches = [make_batch(n_envs, n_threads) for n_envs, n_threads in sizes]
        #: Names of the actions.
        self.meanings = self._batches[0].meanings
        self._pending: tuple[Frames, list[Future[RawStep]]] | None = None

    def submit(
        self, what: Literal["reset", "step"], numbers: NDArray[np.int32], stacks: Frames
    ) -> None:
        """Start a reset or a step; the result of an earlier one that was not collected is lost.

        :param numbers: (n_envs,) seeds (from 0; -1 for none) or valid actions.
        :param stacks: (n_envs, n_stack, h, w) uint8; will be filled with the newest frames.
        """
        futures: list[Future[RawStep]] = []
        first = 0
        for batch in self._batches:
            part = slice(first, first + batch.n_envs)
            futures.append(batch.submit(what, numbers[part], stacks[part, -1]))
            first += batch.n_envs
        self._pending = stacks, futures

    def collect(self) -> tuple[Frames, RawStep]:
        """Wait for the last request; may be called again after an interrupt.

        :return: the stacks with their newest frames, and the result for all games.
        """
        assert self._pending is not None, "no reset or step was submitted"
        stacks, futures = self._pending
        return stacks, joined([future.result() for future in futures])

    def close(self) -> None:
        """Stop the threads after the current request."""
        for batch in self._batches:
            batch.close()
        self._pending = None


def joined(parts: list[RawStep]) -> RawStep:
    """Return the results of all batches as one, in their order."""
    last_frames: dict[int, Frames] = {}
    first = 0
    for part in parts:
        last_frames |= {first + i: frame for i, frame in part.last_frames.items()}
        first += len(part.rewards)
    columns: Any = zip(*(part[:-1] for part in parts), strict=True)
    return RawStep(*map(np.concatenate, columns), last_frames)  # type: ignore[call-arg,arg-type]


def batch_sizes(n_envs: int, n_threads: int, *, resizes: bool) -> list[tuple[int, int]]:
    """Return the numbers of games and of ale-py's threads of each batch.

    With a crop each batch resizes frames in one thread, so several batches are used: at least two,
    and one per two cores on large machines. Each has one ale-py thread more than its share of the
    cores, because these are idle while the batch resizes. Without a crop ale-py resizes, and one
    batch balances the load best.

    :param n_threads: number of cores to use.
    :param resizes: whether the batches crop and resize frames.

    >>> batch_sizes(32, 2, resizes=True), batch_sizes(32, 2, resizes=False)
    ([(16, 2), (16, 2)], [(32, 2)])
    """
    n_batches = min(n_envs, n_threads, max(2, n_threads // 2)) if resizes else 1
    games = np.diff(np.linspace(0, n_envs, n_batches + 1).astype(int)).tolist()
    threads = np.diff(np.linspace(0, n_threads, n_batches + 1).astype(int)).tolist()
    extra = int(n_batches > 1)
    return [(n, min(share + extra, n)) for n, share in zip(games, threads, strict=True)]


@dataclass(frozen=True)
class Step:
    """Ends, life losses, scores and lengths of n games after a step, before any reset.

    :param over: (n,) the game is over or truncated.
    :param truncated: (n,) the game is truncated.
    :param life_lost: (n,) a life was lost and the game continues.
    :param lives: (n,) remaining lives; 0 at a game over.
    :param frame_number: (n,) frames since the emulator was seeded.
    :param episode_frame_number: (n,) frames of the game, no-ops included.
    :param lengths: (n,) frames of the game, without those that the emulator plays during a reset.
    :param scores: (n,) unclipped score of the game so far, no-ops included.
    """

    over: Flags
    truncated: Flags
    life_lost: Flags
    lives: Numbers
    frame_number: Numbers
    episode_frame_number: Numbers
    lengths: Numbers
    scores: Numbers


class EpisodeCounter:
    """Scores, lengths and life losses of all games, as SB3's Monitor inside the wrappers counts.

    :param frame_skip: frames per agent step.
    :param n_first_frames: frames that the emulator plays during a reset.
    :param noop_scores: score of a new game after 0, 1, ... no-ops; the last value also after more.
    """

    def __init__(
        self,
        frame_skip: int,
        *,
        n_first_frames: int = 0,
        noop_scores: Sequence[int] | Numbers = (0,),
    ) -> None:
        self.frame_skip, self.n_first_frames = frame_skip, n_first_frames
        self.noop_scores = np.asarray(noop_scores, np.int64)

    def reset(self, raw: RawStep) -> None:
        """Start all games, after a reset."""
        self._scores = self._first_scores(raw)
        self._remember(raw)

    def step(self, raw: RawStep) -> Step:
        """Count one step of all games."""
        over = raw.terminated | raw.truncated
        self._scores += raw.rewards
        n_frames = raw.frame_number - self._frame_number
        # includes frames after the reset: those of the new game, and those of a game that was over
        # during its no-ops, which are not reported
        n_frames = np.where(
            over, np.minimum(n_frames - raw.episode_frame_number, self.frame_skip), n_frames
        )
        episode_frame_number = self._episode_frame_number + n_frames
        step = Step(
            over=over,
            truncated=raw.truncated & ~raw.terminated,
            life_lost=~over & (raw.lives > 0) & (raw.lives < self._lives),
            lives=np.where(over, np.where(raw.terminated, 0, self._lives), raw.lives),
            frame_number=self._frame_number + n_frames,
            episode_frame_number=episode_frame_number,
            lengths=episode_frame_number - self.n_first_frames,
            scores=self._scores,
        )
        self._scores = np.where(over, self._first_scores(raw), self._scores)
        self._remember(raw)
        return step

    def _first_scores(self, raw: RawStep) -> Numbers:
        """Return the scores of new games after their no-ops."""
        n_noops = raw.episode_frame_number - self.n_first_frames
        return self.noop_scores[np.clip(n_noops, 0, len(self.noop_scores) - 1)]

    def _remember(self, raw: RawStep) -> None:
        self._lives = raw.lives.astype(np.int64)
        self._frame_number = raw.frame_number.astype(np.int64)
        self._episode_frame_number = raw.episode_frame_number.astype(np.int64)


def infos_of(numbers: RawStep | Step) -> list[dict[str, Any]]:
    """Return the ``info`` of each game with Python integers, as ale-py's Python env does."""
    columns = (numbers.lives, numbers.frame_number, numbers.episode_frame_number)
    return [
        {"lives": lives, "frame_number": frame, "episode_frame_number": episode_frame}
        for lives, frame, episode_frame in zip(*(c.tolist() for c in columns), strict=True)
    ]
