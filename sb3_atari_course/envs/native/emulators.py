"""ale-py's emulators, played in batches side by side, and what they report of each game.

``Batches`` orders a step from each ``Batch`` (one of ale-py's vector environments, its screens
cropped and resized), and ``Games`` finds in what they report which games and lives have ended.
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


class Played(NamedTuple):
    """What n games say after a reset or a step; a game that is over has begun anew.

    Then ``lives`` and the frame numbers are those of the new game.
    """

    #: (n,) int32, the score of the step
    rewards: NDArray[np.int32]
    #: (n,) bool, a real game over
    terminated: NDArray[np.bool_]
    #: (n,) bool, cut off by the limit of frames
    truncated: NDArray[np.bool_]
    #: (n,) int32
    lives: NDArray[np.int32]
    #: (n,) int32, frames that the emulator has played since it was seeded
    frame_number: NDArray[np.int32]
    #: (n,) int32, frames of the game, no-ops included
    episode_frame_number: NDArray[np.int32]
    #: number of the game -> last frame (h, w) uint8 of a game that is over
    last_frames: dict[int, Frames]


class Batch:
    """Plays n games in a thread of its own, which waits for ale-py's threads and then draws.

    While it waits and draws, Python is free: other batches play and draw at the same time. Orders
    are carried out one after the other, each as a whole: an interrupt (Ctrl-C) reaches the main
    thread only, so no order is ever half done, and what ale-py sent was always received.

    :param n_envs: number of games.
    :param n_threads: threads of ale-py.
    :param arguments: for ale-py's AtariVectorEnv: the game.
    :param shape: (h, w) of the frames in pixels.
    :param crop: (top, bottom, left, right) of the screen in pixels; None for the whole screen,
        which ale-py resizes itself.
    :param screen: (rows, columns) of the screen, if there is a crop.
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
            episodic_life=False,  # it would restart the whole game at a lost life
            life_loss_info=False,  # a falling number of lives tells as much
            reward_clipping=False,  # the true score would be lost
            use_fire_reset=False,
            autoreset_mode=AutoresetMode.SAME_STEP,
        )
        self.meanings = [action.name for action in self._env.ale.get_action_set()]
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="atari-batch")

    def order(
        self, what: Literal["reset", "step"], numbers: NDArray[np.int32], frames: Frames
    ) -> Future[Played]:
        """Order new games or a step.

        :param numbers: (n,) seeds from 0 (-1 continues the random sequence), or actions
            inside the action space (others would stop the batch for ever).
        :param frames: (n, h, w), to be filled with the new frames.
        """
        play = self._reset if what == "reset" else self._step
        return self._worker.submit(play, numbers, frames)

    def close(self) -> None:
        """Wait for what was ordered and end the threads."""
        self._worker.shutdown(wait=True, cancel_futures=True)
        del self._env

    def _reset(self, seeds: NDArray[np.int32], frames: Frames) -> Played:
        screens, info = self._env.reset(seed=seeds)
        nothing = np.zeros(self.n_envs, bool)
        return self._played(screens, nothing.astype(np.int32), nothing, nothing, info, frames)

    def _step(self, actions: NDArray[np.int32], frames: Frames) -> Played:
        self._env.send(actions)
        return self._played(*self._env.recv(), frames)

    def _played(
        self,
        screens: Frames,  # (n, 1, rows, columns)
        rewards: NDArray[np.int32],
        terminated: Flags,
        truncated: Flags,
        info: dict[str, Any],
        frames: Frames,
    ) -> Played:
        """Draw the frames and name what ale-py returned."""
        for screen, frame in zip(screens[:, 0], frames, strict=True):
            self._draw(screen, frame)
        last_frames = {}
        for i in np.flatnonzero(terminated | truncated).tolist():
            last_frames[i] = np.empty(self.shape, np.uint8)
            self._draw(info["final_obs"][i, 0], last_frames[i])
        return Played(
            rewards,
            terminated,
            truncated,
            info["lives"],
            info["frame_number"],
            info["episode_frame_number"],
            last_frames,
        )

    def _draw(self, screen: Frames, frame: Frames) -> None:
        """Fill a frame (h, w) with the cropped and resized screen, as ``crop_gray_resize``."""
        if self.crop is None:  # ale-py has resized it
            frame[...] = screen
            return
        top, bottom, left, right = self.crop
        size = (self.shape[1], self.shape[0])
        cv2.resize(screen[top:bottom, left:right], size, frame, interpolation=cv2.INTER_AREA)


class Batches:
    """Orders resets and steps of all games, and collects what comes of it.

    :param make_batch: (games, threads of ale-py) -> a batch.
    :param sizes: these two of each batch, see :func:`batch_sizes`.
    """

    def __init__(
        self, make_batch: Callable[[int, int], Batch], sizes: Sequence[tuple[int, int]]
    ) -> None:
        self._batches = [make_batch(n_envs, n_threads) for n_envs, n_threads in sizes]
        #: Names of the actions.
        self.meanings = self._batches[0].meanings
        self._ordered: tuple[Frames, list[Future[Played]]] | None = None

    def order(
        self, what: Literal["reset", "step"], numbers: NDArray[np.int32], stacks: Frames
    ) -> None:
        """Order new games or a step; what was ordered before is played, and forgotten.

        :param numbers: (n_envs,) seeds (from 0; -1 for none) or valid actions.
        :param stacks: (n_envs, n_stack, h, w) uint8; the newest frames will be drawn into it.
        """
        futures: list[Future[Played]] = []
        first = 0
        for batch in self._batches:
            part = slice(first, first + batch.n_envs)
            futures.append(batch.order(what, numbers[part], stacks[part, -1]))
            first += batch.n_envs
        self._ordered = stacks, futures

    def collect(self) -> tuple[Frames, Played]:
        """Wait for what was ordered last; may be called again after an interrupt.

        :return: the stacks, with their newest frames, and what all games say.
        """
        assert self._ordered is not None, "nothing was ordered"
        stacks, futures = self._ordered
        return stacks, joined([future.result() for future in futures])

    def close(self) -> None:
        """End the threads, after what was ordered."""
        for batch in self._batches:
            batch.close()
        self._ordered = None


def joined(parts: list[Played]) -> Played:
    """Return what all games say, from what the batches say, in their order."""
    last_frames: dict[int, Frames] = {}
    first = 0
    for part in parts:
        last_frames |= {first + i: frame for i, frame in part.last_frames.items()}
        first += len(part.rewards)
    columns: Any = zip(*(part[:-1] for part in parts), strict=True)
    return Played(*map(np.concatenate, columns), last_frames)  # type: ignore[call-arg,arg-type]


def batch_sizes(n_envs: int, n_threads: int, *, draws: bool) -> list[tuple[int, int]]:
    """Return (games, threads of ale-py) of each batch.

    With a crop each batch draws in one thread of ours, so there are several: two on a small
    machine, one for two cores on a large one; each has one thread more than its share of the
    cores, for while one batch is drawn its threads are idle. Without, ale-py draws, and one batch
    spreads the work best.

    :param n_threads: cores to play on.

    >>> batch_sizes(32, 2, draws=True), batch_sizes(32, 2, draws=False)
    ([(16, 2), (16, 2)], [(32, 2)])
    """
    n_batches = min(n_envs, n_threads, max(2, n_threads // 2)) if draws else 1
    games = np.diff(np.linspace(0, n_envs, n_batches + 1).astype(int)).tolist()
    threads = np.diff(np.linspace(0, n_threads, n_batches + 1).astype(int)).tolist()
    more = int(n_batches > 1)
    return [(n, min(share + more, n)) for n, share in zip(games, threads, strict=True)]


@dataclass(frozen=True)
class Step:
    """What a step has ended, for n games; numbers as they were before a new game began.

    :param over: (n,) the game is over or was cut off.
    :param truncated: (n,) it was cut off.
    :param life_lost: (n,) a life was lost, and the game goes on.
    :param lives: (n,) lives left; 0 at a game over.
    :param frame_number: (n,) frames that the emulator has played since it was seeded.
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


class Games:
    """Counts along, as SB3's Monitor between emulator and wrappers does.

    :param n_held: frames of an agent step.
    :param n_first_frames: frames that the emulator plays during a reset.
    :param noop_scores: scores of a new game after 0, 1, ... no-ops; the last one after more.
    """

    def __init__(
        self, n_held: int, *, n_first_frames: int = 0, noop_scores: Sequence[int] | Numbers = (0,)
    ) -> None:
        self.n_held, self.n_first_frames = n_held, n_first_frames
        self.noop_scores = np.asarray(noop_scores, np.int64)

    def begin(self, played: Played) -> None:
        """Begin all games, after a reset."""
        self._scores = self._first_scores(played)
        self._remember(played)

    def step(self, played: Played) -> Step:
        """Count one step of all games and return what it has ended."""
        over = played.terminated | played.truncated
        self._scores += played.rewards
        n_frames = played.frame_number - self._frame_number
        # the no-ops of a new game are among them; one that a no-op ended is not told apart
        n_frames = np.where(
            over, np.minimum(n_frames - played.episode_frame_number, self.n_held), n_frames
        )
        episode_frame_number = self._episode_frame_number + n_frames
        step = Step(
            over=over,
            truncated=played.truncated & ~played.terminated,
            life_lost=~over & (played.lives > 0) & (played.lives < self._lives),
            lives=np.where(over, np.where(played.terminated, 0, self._lives), played.lives),
            frame_number=self._frame_number + n_frames,
            episode_frame_number=episode_frame_number,
            lengths=episode_frame_number - self.n_first_frames,
            scores=self._scores,
        )
        self._scores = np.where(over, self._first_scores(played), self._scores)
        self._remember(played)
        return step

    def _first_scores(self, played: Played) -> Numbers:
        """Return the scores of new games: what their no-ops were rewarded with."""
        n_noops = played.episode_frame_number - self.n_first_frames
        return self.noop_scores[np.clip(n_noops, 0, len(self.noop_scores) - 1)]

    def _remember(self, played: Played) -> None:
        self._lives = played.lives.astype(np.int64)
        self._frame_number = played.frame_number.astype(np.int64)
        self._episode_frame_number = played.episode_frame_number.astype(np.int64)


def infos_of(numbers: Played | Step) -> list[dict[str, Any]]:
    """Return ale-py's numbers of each game as Python integers, as its Python env does."""
    columns = (numbers.lives, numbers.frame_number, numbers.episode_frame_number)
    return [
        {"lives": lives, "frame_number": frame, "episode_frame_number": episode_frame}
        for lives, frame, episode_frame in zip(*(c.tolist() for c in columns), strict=True)
    ]
