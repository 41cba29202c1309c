"""Some of the games, played together by ale-py's vector env, and the pictures of their screens."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import cv2
import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from sb3_atari_course.wrappers.screen import Crop

Pictures = NDArray[np.uint8]


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
    #: number of the game -> last picture (h, w) uint8 of a game that is over
    last_pictures: dict[int, Pictures]


class Batch:
    """Plays n games in a thread of its own, which waits for ale-py's threads and then draws.

    While it waits and draws, Python is free: other batches play and draw at the same time. Orders
    are carried out one after the other, each as a whole: an interrupt (Ctrl-C) reaches the main
    thread only, so no order is ever half done, and what ale-py sent was always received.

    :param n_envs: number of games.
    :param n_threads: threads of ale-py.
    :param arguments: for ale-py's AtariVectorEnv: the game.
    :param shape: (h, w) of the pictures in pixels.
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

    def reset(self, seeds: NDArray[np.int32], pictures: Pictures) -> Future[Played]:
        """Order new games.

        :param seeds: (n,) from 0; -1 goes on with the random numbers of before.
        :param pictures: (n, h, w), to be filled with the first pictures.
        """
        return self._worker.submit(self._reset, seeds, pictures)

    def step(self, actions: NDArray[np.int32], pictures: Pictures) -> Future[Played]:
        """Order a step.

        :param actions: (n,) inside the action space; others would stop the batch for ever.
        :param pictures: (n, h, w), to be filled with the new pictures.
        """
        return self._worker.submit(self._step, actions, pictures)

    def close(self) -> None:
        """Wait for what was ordered and end the threads."""
        self._worker.shutdown(wait=True, cancel_futures=True)
        del self._env

    def _reset(self, seeds: NDArray[np.int32], pictures: Pictures) -> Played:
        screens, info = self._env.reset(seed=seeds)
        nothing = np.zeros(self.n_envs, bool)
        return self._played(
            screens, np.zeros(self.n_envs, np.int32), nothing, nothing, info, pictures
        )

    def _step(self, actions: NDArray[np.int32], pictures: Pictures) -> Played:
        self._env.send(actions)
        return self._played(*self._env.recv(), pictures)

    def _played(
        self,
        screens: Pictures,  # (n, 1, rows, columns)
        rewards: NDArray[np.int32],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
        info: dict[str, Any],
        pictures: Pictures,
    ) -> Played:
        """Draw the pictures and name what ale-py returned."""
        if self.crop is None:
            pictures[...] = screens[:, 0]
        else:
            for i in range(self.n_envs):
                self._draw(screens[i, 0], pictures[i])
        last_pictures = {}
        for i in np.flatnonzero(terminated | truncated).tolist():
            last_pictures[i] = np.empty(self.shape, np.uint8)
            self._draw(info["final_obs"][i, 0], last_pictures[i])
        return Played(
            rewards,
            terminated,
            truncated,
            info["lives"],
            info["frame_number"],
            info["episode_frame_number"],
            last_pictures,
        )

    def _draw(self, screen: Pictures, picture: Pictures) -> None:
        """Fill a picture (h, w) with the cropped and resized screen, as ``crop_gray_resize``."""
        if self.crop is None:
            picture[...] = screen
            return
        top, bottom, left, right = self.crop
        size = (self.shape[1], self.shape[0])
        cv2.resize(screen[top:bottom, left:right], size, picture, interpolation=cv2.INTER_AREA)
