"""Fake environments whose pixels encode episode and frame, and scripted players."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from tests.naive import Rules


class Clock:
    """Replacement for the module ``time``, set by hand."""

    now = 100.0

    def perf_counter(self) -> float:
        return self.now


class FakeGame(gym.Env[NDArray[np.uint8], int]):
    """Fake Atari game whose pixels are (episode, frame of the episode, 100 - frame).

    ``tape`` records "reset" or "reset(seed)" and actions.

    :param ends_at: frame at which the game is over.
    :param truncated_at: frame at which the game is truncated.
    :param lives: lives at each frame, the last value from then on; None for a game without lives.
    :param meanings: names of the actions.
    :param step_reward: reward of each step.
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
    """Return the color of a FakeGame's screen, after checking that it is uniform."""
    assert (obs == obs[0, 0]).all()
    return tuple(int(value) for value in obs[0, 0])


class TabularEnv(gym.Env[Any, Any]):
    """Small tabular environment with a public transition model ``P``, as Taxi; records its steps.

    :param rules: ``P``: state -> action -> list of (probability, next state, reward, terminated).
    :param starts: probability of each initial state.
    :param max_steps: length at which an episode is truncated.
    :param first_state: observation of state 0.
    :param first_action: action in column 0.
    :param shape: MultiDiscrete observations of this shape instead of Discrete ones.
    """

    def __init__(
        self,
        rules: Rules,
        starts: Sequence[float] | None = None,
        *,
        max_steps: int = 1000,
        first_state: int = 0,
        first_action: int = 0,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        self.P, self.max_steps, self.shape = rules, max_steps, shape
        n_states = len(rules)
        self.initial_state_distrib = np.array(starts or [1 / n_states] * n_states)
        self.observation_space = (
            spaces.MultiDiscrete(shape) if shape else spaces.Discrete(n_states, start=first_state)
        )
        self.action_space = spaces.Discrete(len(rules[0]), start=first_action)
        self.first_state, self.first_action = first_state, first_action
        #: (state, column, reward, next state, terminated) of each step.
        self.steps: list[tuple[int, int, float, int, bool]] = []
        self.starts: list[int] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.state = int(self.np_random.choice(len(self.P), p=self.initial_state_distrib))
        self.starts.append(self.state)
        self.n_steps = 0
        return self._look(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(np.int64(action))
        column = int(action) - self.first_action
        outcomes = self.P[self.state][column]
        chosen = self.np_random.choice(len(outcomes), p=[outcome[0] for outcome in outcomes])
        _, next_state, reward, terminated = outcomes[chosen]
        self.steps.append((self.state, column, float(reward), next_state, terminated))
        self.state = next_state
        self.n_steps += 1
        return self._look(), float(reward), terminated, self.n_steps >= self.max_steps, {}

    def _look(self) -> Any:
        if self.shape:
            return np.array(np.unravel_index(self.state, self.shape))
        return self.first_state + self.state


def random_rules(seed: int, *, n_states: int = 6, n_actions: int = 3) -> Rules:
    """Return a random transition model, with random outcomes, some of which end the episode."""
    rng = np.random.default_rng(seed)

    def outcomes() -> list[tuple[float, int, float, bool]]:
        n = int(rng.integers(1, 4))
        return [
            (float(p), int(rng.integers(n_states)), float(rng.integers(-2, 3)), rng.random() < 0.2)
            for p in rng.dirichlet(np.ones(n))
        ]

    return {s: {a: outcomes() for a in range(n_actions)} for s in range(n_states)}


class ActionRecorder(gym.Wrapper[Any, Any, Any, Any]):
    """Wrapper that records the action of every frame, inside the other wrappers.

    :param path: text file to append each action to, for training in other processes.
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
    """Model that repeats a sequence of actions, independent of the observations."""

    def __init__(self, actions: Iterable[int]) -> None:
        self.actions = list(actions)
        self.n_calls = 0

    def predict(
        self, observation: Any, *, deterministic: bool = False
    ) -> tuple[NDArray[np.int64], None]:
        assert deterministic
        action = self.actions[self.n_calls % len(self.actions)]
        self.n_calls += 1
        return np.full(len(observation), action), None


#: Arguments of a replay buffer's ``add``: obs, next_obs, action, reward, done, infos.
Transition = tuple[
    NDArray[np.uint8],
    NDArray[np.uint8],
    NDArray[np.int64],
    NDArray[np.float32],
    NDArray[np.bool_],
    list[dict[str, Any]],
]


class StackedPlay:
    """Random transitions with stacked noise as observations, stacked as common wrappers do.

    Episodes are short, some have a single step; they end by termination, a time limit or a life
    loss, after which the next one starts with the last screen. Some screens do not change, some are
    black.

    :param padding: how the stack is filled at the start of an episode: ``"repeat"`` or ``"zero"``.
    :param channels_first: stacks (n_stack, h, w) instead of (h, w, n_stack).
    :param interleaved: the stack axis is the last one in memory, as after VecTransposeImage.
    :param n_colors: channels of a screen.
    :param p_unrelated: probability of a next observation that is unrelated to its observation.
    """

    def __init__(
        self,
        seed: int,
        *,
        n_envs: int,
        n_stack: int = 4,
        image_shape: tuple[int, int] = (6, 7),
        padding: str = "repeat",
        channels_first: bool = True,
        interleaved: bool = True,
        n_colors: int = 1,
        p_unrelated: float = 0.0,
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.n_envs, self.n_stack, self.image_shape = n_envs, n_stack, image_shape
        self.padding, self.channels_first, self.interleaved = padding, channels_first, interleaved
        self.n_colors, self.p_unrelated = n_colors, p_unrelated
        n_channels = n_stack * n_colors
        shape = (n_channels, *image_shape) if channels_first else (*image_shape, n_channels)
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.action_space = spaces.Discrete(5)
        self.stacks = [self._start(self._screen()) for _ in range(n_envs)]

    def step(self) -> Transition:
        """Return one transition of each environment."""
        before = self._array(self.stacks)
        after, done, infos = [], [], []
        for i, stack in enumerate(self.stacks):
            still = self.rng.random() < 0.2
            screen = stack[-1] if still else self._screen()
            unrelated = self.rng.random() < self.p_unrelated
            stack = [self._screen() for _ in stack] if unrelated else [*stack[1:], screen]
            end = self.rng.choice(["", "over", "truncated", "life"], p=[0.7, 0.1, 0.1, 0.1])
            after.append(stack)
            done.append(end != "")
            infos.append({"TimeLimit.truncated": end == "truncated"} if end else {})
            if end:
                stack = self._start(stack[-1] if end == "life" else self._screen())
            self.stacks[i] = stack
        actions = self.rng.integers(5, size=self.n_envs)
        rewards = self.rng.normal(size=self.n_envs).astype(np.float32)
        return before, self._array(after), actions, rewards, np.array(done), infos

    def _screen(self) -> NDArray[np.uint8]:
        black = self.rng.random() < 0.1
        shape = (*self.image_shape, self.n_colors)
        return self.rng.integers(0, 1 if black else 256, size=shape, dtype=np.uint8)

    def _start(self, screen: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        past = screen if self.padding == "repeat" else np.zeros_like(screen)
        return [past] * (self.n_stack - 1) + [screen]

    def _array(self, stacks: list[list[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
        """Return the stacks of all environments as one array."""
        last = np.stack([np.concatenate(stack, axis=2) for stack in stacks])  # (n_envs, h, w, n)
        first = last.transpose(0, 3, 1, 2)
        if self.channels_first:
            return first if self.interleaved else np.ascontiguousarray(first)
        return last if self.interleaved else np.ascontiguousarray(first).transpose(0, 2, 3, 1)
