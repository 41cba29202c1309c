"""The right targets of the exercise are those of SB3's replay buffer for n-step returns."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

from sb3_atari_course.replay import FrameReplayBuffer
from tests.course.lessons import solution_of

_N = 40
_SHAPE = (8, 8, 2)


def solution() -> dict[str, object]:
    """Return the lesson's two functions."""
    text = solution_of("replay_targets")
    begin, end = text.index("def buffer_bytes"), text.index('check("replay_targets")')
    names: dict[str, object] = {}
    exec(text[begin:end], names)
    return names


@pytest.mark.parametrize("n_steps", [1, 2, 3, 7])
@pytest.mark.parametrize("buffer_class", [NStepReplayBuffer, FrameReplayBuffer])
def test_targets_of_the_lesson_are_those_of_the_buffers(
    buffer_class: type[NStepReplayBuffer], n_steps: int
) -> None:
    rng = np.random.default_rng(n_steps)
    rewards, next_values = rng.normal(size=_N), rng.normal(size=_N)
    terminated, truncated = rng.random(_N) < 0.1, rng.random(_N) < 0.1
    buffer = buffer_class(
        _N + 1,
        spaces.Box(0, 255, _SHAPE, np.uint8),
        spaces.Discrete(2),
        device="cpu",
        n_steps=n_steps,
        gamma=0.9,
    )
    for i in range(_N):
        obs, next_obs = (np.full((1, *_SHAPE), pixel, np.uint8) for pixel in (i, i + 1))
        info = {"TimeLimit.truncated": bool(truncated[i] and not terminated[i])}  # as SB3's envs
        done = terminated[[i]] | truncated[[i]]
        buffer.add(obs, next_obs, np.array([0]), rewards[[i]], done, [info])
    np.random.seed(0)  # noqa: NPY002  # SB3 samples from the global generator
    batch = buffer.sample(500)
    first = batch.observations[:, 0, 0, 0].numpy().astype(int)
    last = batch.next_observations[:, 0, 0, 0].numpy().astype(int) - 1
    assert set(first) == set(range(_N))
    discounts = 0.9 if batch.discounts is None else batch.discounts  # None: n_steps is 1
    future = (discounts * (1 - batch.dones))[:, 0].numpy() * next_values[last]
    targets = np.array(
        solution()["n_step_targets"](rewards, terminated, truncated, next_values, 0.9, n_steps)  # type: ignore[operator]
    )
    np.testing.assert_allclose(batch.rewards[:, 0].numpy() + future, targets[first], atol=1e-5)


def test_bytes_of_the_lesson_are_those_of_sb3s_buffer() -> None:
    shape = (20, 30, 4)
    space, actions = spaces.Box(0, 255, shape, np.uint8), spaces.Discrete(2)
    buffer = ReplayBuffer(50, space, actions, device="cpu")
    n_bytes = buffer.observations.nbytes + buffer.next_observations.nbytes
    assert solution()["buffer_bytes"](50, 4, 20, 30, False) == n_bytes  # type: ignore[operator]
    low, _ = FrameReplayBuffer(1_000_000, space, actions, device="cpu").memory_needed()
    own = solution()["buffer_bytes"](1_000_000, 4, 20, 30, True)  # type: ignore[operator]
    assert own < low < 1.2 * own  # with indices of frames, actions and rewards
