"""Environments whose pixels tell the truth, and players that do as they are told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


class FakeGame(gym.Env[NDArray[np.uint8], int]):
    """A game of three small channels: pixel = (episode, frame of the episode, 100 - frame).

    Each step pays ``step_reward``. ``tape`` records "reset" or "reset(seed)" and actions.

    :param ends_at: frame at which the game is over.
    :param truncated_at: frame at which the game is cut off.
    :param lives: lives at each frame, the last one from then on; None for a game without lives.
    :param meanings: names of the actions.
    :param reuse_array: return the same array each time, as some environments do.
    """

    def __init__(
        self,
        *,
        ends_at: int = 1000,
        truncated_at: int = 1000,
        lives: Sequence[int] | None = None,
        meanings: Sequence[str] = ("NOOP", "FIRE", "RIGHT", "LEFT"),
        step_reward: float = 1.0,
        reuse_array: bool = False,
        shape: tuple[int, int, int] = (4, 5, 3),
    ) -> None:
        self.ends_at, self.truncated_at, self.lives_at = ends_at, truncated_at, lives
        self.meanings, self.step_reward, self.reuse_array = meanings, step_reward, reuse_array
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.action_space = spaces.Discrete(len(meanings))
        self.screen = np.zeros(shape, np.uint8)
        self.episode = self.frame = 0
        self.tape: list[Any] = []

    def get_action_meanings(self) -> list[str]:
        return list(self.meanings)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        self.tape.append("reset" if seed is None else f"reset({seed})")
        self.episode += 1
        self.frame = 0
        return self._look(), self._info()

    def step(self, action: int) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        assert self.frame < min(self.ends_at, self.truncated_at), "stepped after the end"
        self.tape.append(int(action))
        self.frame += 1
        over, cut = self.frame == self.ends_at, self.frame == self.truncated_at
        return self._look(), self.step_reward, over, cut, self._info()

    def _look(self) -> NDArray[np.uint8]:
        screen = self.screen if self.reuse_array else self.screen.copy()
        screen[:] = 0
        screen[..., 0] = self.episode
        screen[..., 1] = self.frame
        screen[..., 2] = 100 - self.frame
        return screen

    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = {"frame": self.frame}
        if self.lives_at is not None:
            info["lives"] = self.lives_at[min(self.frame, len(self.lives_at) - 1)]
        return info


def pixel(obs: NDArray[np.uint8]) -> tuple[int, ...]:
    """Return the one colour of a FakeGame's screen, after checking that it is one."""
    assert (obs == obs[0, 0]).all()
    return tuple(int(value) for value in obs[0, 0])


class Tape(gym.Wrapper[Any, Any, Any, Any]):
    """Records every frame's action between an emulator (or Monitor) and the wrappers outside.

    :param path: a text file to append to as well, a line each, for trainings in other processes.
    """

    def __init__(self, env: gym.Env[Any, Any], *, path: str | None = None) -> None:
        super().__init__(env)
        self.path = path
        self.games: list[list[int]] = []

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        self.games.append([])
        self._write("reset")
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.games[-1].append(int(action))
        self._write(str(int(action)))
        return self.env.step(action)

    def _write(self, line: str) -> None:
        if self.path is not None:
            with open(self.path, "a") as file:
                file.write(line + "\n")


class ScriptedPlayer:
    """A model that plays the given actions over and over, whatever it sees."""

    def __init__(self, actions: Iterable[int]) -> None:
        self.actions = list(actions)
        self.n_calls = 0

    def predict(
        self, observation: Any, *, deterministic: bool = False
    ) -> tuple[NDArray[np.int64], None]:
        assert deterministic
        action = self.actions[self.n_calls % len(self.actions)]
        self.n_calls += 1
        return np.array([action]), None
