"""Naive reference implementations: slow, short, obviously right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ale_py
import ale_py.roms
import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from skimage import color, transform

#: Luma weights of red, green and blue: scikit-image's, and those of most other libraries.
BT709 = (0.2125, 0.7154, 0.0721)
BT601 = (0.299, 0.587, 0.114)


def preprocess(
    screen: NDArray[np.uint8],
    luma: tuple[float, float, float] = BT709,
    crop: tuple[int, int, int, int] = (30, 195, 5, 155),
    shape: tuple[int, int] = (84, 84),
) -> NDArray[np.uint8]:
    """Convert to grayscale, crop and resize with scikit-image, (H, W, 3) -> (h, w)."""
    top, bottom, left, right = crop
    gray = color.rgb2gray(screen) if luma == BT709 else screen @ np.array(luma) / 255
    return (transform.resize(gray[top:bottom, left:right], shape) * 255).astype(np.uint8)


def repeat_action(
    env: gym.Env[Any, Any], action: int, frame_skip: int
) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
    """Play one agent step, frame by frame, keeping all screens."""
    screens, rewards = [], []
    for _ in range(frame_skip):
        screen, reward, terminated, truncated, info = env.step(action)
        screens.append(np.array(screen))
        rewards.append(float(reward))
        if terminated or truncated:
            break
    whole = len(screens) == frame_skip and frame_skip > 1
    obs = np.max(screens[-2:], axis=0) if whole else screens[-1]
    return obs, sum(rewards), terminated, truncated, info


def replay(game: str, actions: Sequence[int]) -> tuple[float, bool]:
    """Play actions on a bare emulator, one frame each; return the score and whether it is over.

    :param game: ale-py's name of the ROM, e.g. ``"breakout"``.
    :param actions: indices into the minimal action set.
    """
    ale = ale_py.ALEInterface()
    ale.setLoggerMode(ale_py.LoggerMode.Error)
    ale.setFloat("repeat_action_probability", 0.0)
    ale.loadROM(ale_py.roms.get_rom_path(game))
    ale.reset_game()
    legal = ale.getMinimalActionSet()
    score = sum(ale.act(legal[action]) for action in actions)
    return float(score), bool(ale.game_over())


#: Gymnasium's ``P``: state -> action -> list of (probability, next state, reward, terminated).
Rules = dict[int, dict[int, list[tuple[float, int, float, bool]]]]


def value_iteration(rules: Rules, gamma: float, n_sweeps: int = 5000) -> NDArray[np.float64]:
    """Return the optimal Q-values, (n_states, n_actions)."""
    values = np.zeros(len(rules))
    for _ in range(n_sweeps):
        q_table = np.array(
            [
                [
                    sum(p * (r + (0 if over else gamma * values[s])) for p, s, r, over in outcomes)
                    for outcomes in actions.values()
                ]
                for actions in rules.values()
            ]
        )
        if np.abs(q_table.max(axis=1) - values).max() < 1e-12:
            break
        values = q_table.max(axis=1)
    return q_table


def play_exactly(
    rules: Rules, policy: Sequence[int], start: int, max_steps: int
) -> tuple[float, float]:
    """Return the expected return and length of an episode, by following every branch.

    :param policy: the action of each state.
    """
    if max_steps == 0:
        return 0.0, 0.0
    total, length = 0.0, 0.0
    for probability, state, reward, over in rules[start][policy[start]]:
        later = (0.0, 0.0) if over else play_exactly(rules, policy, state, max_steps - 1)
        total += probability * (reward + later[0])
        length += probability * (1 + later[1])
    return total, length


#: One step of one environment: state, action, reward, next state, terminated.
Step = tuple[int, int, float, int, bool]


def q_learning(
    steps: Sequence[Step], gamma: float, rate: float | None, n_actions: int
) -> dict[tuple[int, int], float]:
    """Return the Q-table after these steps, updated one by one from zeros.

    :param rate: learning rate; None for 1 / (visits of the cell).
    """
    q_table: dict[tuple[int, int], float] = {}
    visits: dict[tuple[int, int], int] = {}
    for state, action, reward, next_state, terminated in steps:
        cell = (state, action)
        visits[cell] = visits.get(cell, 0) + 1
        best = max(q_table.get((next_state, a), 0.0) for a in range(n_actions))
        target = reward if terminated else reward + gamma * best
        old = q_table.get(cell, 0.0)
        q_table[cell] = old + (rate or 1 / visits[cell]) * (target - old)
    return q_table


class NaiveReplayBuffer:
    """Replay buffer that keeps all transitions in a list.

    It samples as SB3's ReplayBuffer: rows, then environments, from NumPy's global generator.
    """

    def __init__(self, n_rows: int, n_envs: int, *, n_steps: int, gamma: float) -> None:
        self.n_rows, self.n_envs = n_rows, n_envs
        self.n_steps, self.gamma = n_steps, gamma
        self.all_rows: list[list[dict[str, Any]]] = []

    def add(
        self, obs: Any, next_obs: Any, action: Any, reward: Any, done: Any, infos: list[Any]
    ) -> None:
        self.all_rows.append(
            [
                {
                    "observations": np.array(obs[i]),
                    "next_observations": np.array(next_obs[i]),
                    "actions": np.array([action[i]]),
                    "reward": float(reward[i]),
                    "over": bool(done[i]),
                    "truncated": infos[i].get("TimeLimit.truncated", False),
                }
                for i in range(self.n_envs)
            ]
        )

    def sample(self, batch_size: int) -> dict[str, NDArray[Any]]:
        """Return the fields of a batch, each (batch_size, ...)."""
        n_filled = min(len(self.all_rows), self.n_rows)
        rows = np.random.randint(0, n_filled, size=batch_size)  # noqa: NPY002
        envs = np.random.randint(0, self.n_envs, size=batch_size)  # noqa: NPY002
        samples = [self._sample(row, env) for row, env in zip(rows, envs, strict=True)]
        return {name: np.array([sample[name] for sample in samples]) for name in samples[0]}

    def _sample(self, row: int, env: int) -> dict[str, Any]:
        # the last time that this row of the ring buffer was written
        newest = len(self.all_rows) - 1
        time = newest - (newest - row) % self.n_rows
        steps = []
        for later in self.all_rows[time : time + self.n_steps]:
            steps.append(later[env])
            if later[env]["over"] or later[env]["truncated"]:
                break
        first, last = steps[0], steps[-1]
        return {
            "observations": first["observations"],
            "actions": first["actions"],
            "next_observations": last["next_observations"],
            "dones": [float(last["over"] and not last["truncated"])],
            "rewards": [sum(self.gamma**k * step["reward"] for k, step in enumerate(steps))],
            "discounts": [self.gamma ** len(steps)],
        }


def temporal_difference_loss(
    batch: Any,
    online: NDArray[np.float32],
    target: NDArray[np.float32],
    *,
    gamma: float,
    double_q: bool,
) -> float:
    """Return the mean Huber loss of a batch with state indices as observations.

    :param online: Q-values of the online network by state and action; ``target`` likewise.
    """
    losses = []
    for i in range(len(batch.rewards)):
        state, action = int(batch.observations[i]), int(batch.actions[i])
        after = int(batch.next_observations[i])
        best = int(np.argmax((online if double_q else target)[after]))
        discount = gamma if batch.discounts is None else float(batch.discounts[i])
        value = 0.0 if batch.dones[i] else discount * float(target[after][best])
        error = abs(float(online[state][action]) - (float(batch.rewards[i]) + value))
        losses.append(0.5 * error**2 if error < 1 else error - 0.5)
    return sum(losses) / len(losses)
