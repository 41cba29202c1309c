"""Recorded Atari games, replayed as the arguments that SB3 passes to ``ReplayBuffer.add``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_atari_course import make_atari_env
from sb3_atari_course.hyperparams import load_hyperparams

#: Chooses an action from the emulator's RAM (128 bytes).
Player = Callable[[NDArray[np.uint8]], int]


@dataclass(frozen=True)
class Scene:
    """A game, its crop, and its player.

    :param name: in tables.
    :param env_id: Gymnasium's id of the environment.
    :param player: ``"random"`` or ``"script"``.
    :param crop: top, bottom, left and right in pixels; None for the full frame.
    """

    name: str
    env_id: str
    player: str
    crop: tuple[int, int, int, int] | None = None


FIELD = tuple(
    load_hyperparams("dqn")["BreakoutDeterministic-v4"]["env_wrapper"][0][
        "sb3_atari_course.envs.wrap_atari"
    ]["crop"]
)
BREAKOUT, PONG, MSPACMAN = (f"{game}NoFrameskip-v4" for game in ("Breakout", "Pong", "MsPacman"))

SCENES = [
    Scene("Breakout, crop, random", BREAKOUT, "random", FIELD),
    Scene("Breakout, crop, script", BREAKOUT, "script", FIELD),
    Scene("Breakout, random", BREAKOUT, "random"),
    Scene("Breakout, script", BREAKOUT, "script"),
    Scene("Pong, random", PONG, "random"),
    Scene("Pong, script", PONG, "script"),
    Scene("MsPacman, random", MSPACMAN, "random"),
]


def follow_the_ball_in_breakout(ram: NDArray[np.uint8]) -> int:
    """Keep the paddle below the ball: bytes 99 and 101 are the ball, 72 is the paddle."""
    ball_x, ball_y, paddle_x = int(ram[99]), int(ram[101]), int(ram[72])
    if ball_y == 0:
        return 1  # FIRE
    return 2 if ball_x > paddle_x + 14 else 3 if ball_x < paddle_x + 8 else 0


def follow_the_ball_in_pong(ram: NDArray[np.uint8]) -> int:
    """Keep the paddle at the height of the ball: byte 54 is the ball, 51 the paddle."""
    ball_y, paddle_y = int(ram[54]), int(ram[51])
    if ball_y == 0:
        return 1  # FIRE
    return 3 if ball_y > paddle_y + 8 else 2 if ball_y < paddle_y else 0


SCRIPTS: dict[str, Player] = {
    BREAKOUT: follow_the_ball_in_breakout,
    PONG: follow_the_ball_in_pong,
}


class Recording:
    """Recorded observations of a scene.

    :param stacks: observations, (n_steps + 1, n_envs, h, w, n_stack) uint8, channels last.
    :param ends: (step, env) of each end of an episode or a life, (n_ends, 2).
    :param last_stacks: terminal observations, (n_ends, h, w, n_stack).
    """

    def __init__(
        self, stacks: NDArray[np.uint8], ends: NDArray[np.int64], last_stacks: NDArray[np.uint8]
    ) -> None:
        self.stacks, self.ends, self.last_stacks = stacks, ends, last_stacks
        self.n_steps, self.n_envs = len(stacks) - 1, stacks.shape[1]
        self._ends_at: dict[int, list[tuple[int, NDArray[np.uint8]]]] = {}
        for (step, env), stack in zip(ends.tolist(), last_stacks, strict=True):
            self._ends_at.setdefault(step, []).append((env, stack))

    @property
    def observation_space(self) -> spaces.Box:
        """Space of the observations, channels first."""
        height, width, n_stack = self.stacks.shape[2:]
        return spaces.Box(0, 255, (n_stack, height, width), np.uint8)

    def transitions(self, first: int, last: int) -> Iterator[tuple[Any, ...]]:
        """Yield the arguments of ``add`` for steps ``first`` to ``last - 1``, repeating the games.

        As from VecTransposeImage, observations are channels first as views of arrays with channels
        last; next observations are copies, as in SB3.
        """
        actions = np.zeros(self.n_envs, np.int64)
        rewards = np.zeros(self.n_envs, np.float32)
        for step in range(first, last):
            now = step % self.n_steps
            next_stacks = self.stacks[now + 1].copy()
            done = np.zeros(self.n_envs, bool)
            infos: list[dict[str, Any]] = [{"TimeLimit.truncated": False, "lives": 5}] * self.n_envs
            for env, stack in self._ends_at.get(now, []):
                next_stacks[env], done[env] = stack, True
            obs, next_obs = (x.transpose(0, 3, 1, 2) for x in (self.stacks[now], next_stacks))
            yield obs, next_obs, actions, rewards, done, infos

    def save(self, folder: Path) -> None:
        """Save the arrays in a folder."""
        for name in ("stacks", "ends", "last_stacks"):
            np.save(folder / f"{name}.npy", getattr(self, name))

    @classmethod
    def load(cls, folder: Path) -> Recording:
        """Load a recording that :meth:`save` wrote."""
        return cls(*(np.load(folder / f"{name}.npy") for name in ("stacks", "ends", "last_stacks")))


def record(scene: Scene, n_steps: int, n_envs: int) -> Recording:
    """Record a scene: 84 x 84, stacks of 4 frames, full games, no-ops at the start."""
    env = make_atari_env(scene.env_id, n_envs, seed=0, wrapper_kwargs={"crop": scene.crop})
    games: list[Any] = env.unwrapped.envs  # type: ignore[attr-defined]
    rng = np.random.default_rng(0)
    n_actions = int(env.action_space.n)  # type: ignore[attr-defined]
    obs: Any = env.reset()
    stacks, ends, last_stacks = [obs.transpose(0, 2, 3, 1)], [], []
    for step in range(n_steps):
        if scene.player == "random":
            actions = rng.integers(n_actions, size=n_envs)
        else:
            play = SCRIPTS[scene.env_id]
            actions = np.array([play(game.unwrapped.ale.getRAM()) for game in games])
        obs, _, dones, infos = env.step(actions)
        stacks.append(obs.transpose(0, 2, 3, 1))
        for i in np.flatnonzero(dones).tolist():
            ends.append((step, i))
            last_stacks.append(np.moveaxis(infos[i]["terminal_observation"], 0, 2))
    env.close()
    shape = stacks[0].shape[1:]
    return Recording(
        np.ascontiguousarray(np.stack(stacks)),
        np.array(ends, np.int64).reshape(-1, 2),
        np.array(last_stacks, np.uint8).reshape(-1, *shape),
    )
