"""Tests of action repeat and max-pooling."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from ale_py.env import AtariEnv
from gymnasium.wrappers import (
    AtariPreprocessing,
    MaxAndSkipObservation,
    TransformObservation,
)
from stable_baselines3.common.atari_wrappers import MaxAndSkipEnv
from stable_baselines3.common.monitor import Monitor

from sb3_atari_course.wrappers import ActionRepeat, NoopReset
from tests import naive
from tests.fakes import FakeGame, pixel


def after_reset(env: ActionRepeat) -> ActionRepeat:
    env.reset(seed=0)
    return env


def test_repeats_the_action_and_sums_the_rewards() -> None:
    game = FakeGame(step_reward=1.5)
    env = after_reset(ActionRepeat(game, frame_skip=4))
    _, reward, terminated, truncated, info = env.step(2)
    assert game.tape == ["reset(0)", 2, 2, 2, 2]
    assert (reward, terminated, truncated) == (6.0, False, False)
    assert info == {"frame": 4}


def test_observation_is_the_maximum_of_the_last_two_frames() -> None:
    # frames 3 and 4: green is 3 and 4, blue is 97 and 96
    assert pixel(after_reset(ActionRepeat(FakeGame())).step(0)[0]) == (1, 4, 97)


def test_observation_is_the_last_frame_without_pooling() -> None:
    assert pixel(after_reset(ActionRepeat(FakeGame(), max_pool=False)).step(0)[0]) == (1, 4, 96)
    assert pixel(after_reset(ActionRepeat(FakeGame(), frame_skip=1)).step(0)[0]) == (1, 1, 99)


@pytest.mark.parametrize("end", ["ends_at", "truncated_at"])
@pytest.mark.parametrize("frame", [1, 2, 3, 5, 6, 7])
def test_returns_the_last_frame_of_an_episode_that_ends_within_a_step(end: str, frame: int) -> None:
    env = after_reset(ActionRepeat(FakeGame(**{end: frame}), frame_skip=4))
    if frame > 4:
        env.step(0)
    obs, reward, terminated, truncated, _ = env.step(0)
    assert pixel(obs) == (1, frame, 100 - frame)
    assert reward == (frame - 1) % 4 + 1
    assert (terminated, truncated) == (end == "ends_at", end == "truncated_at")


def test_pools_when_the_episode_ends_with_the_last_frame_of_a_step() -> None:
    assert pixel(after_reset(ActionRepeat(FakeGame(truncated_at=4))).step(0)[0]) == (1, 4, 97)


def test_environment_may_reuse_its_array() -> None:
    env = after_reset(ActionRepeat(FakeGame(reuse_array=True)))
    first = env.step(0)[0]
    assert pixel(first) == (1, 4, 97)
    second = env.step(0)[0]
    assert (pixel(first), pixel(second)) == ((1, 4, 97), (1, 8, 93))


@pytest.mark.parametrize(
    ("game", "obs_type", "max_frames"),
    [
        ("Breakout", "rgb", 1000),
        ("SpaceInvaders", "grayscale", 1003),
        ("MsPacman", "rgb", 1001),
        ("MsPacman", "grayscale", 1002),
    ],
)
def test_skipping_unused_frames_equals_naive_repetition(
    game: str, obs_type: str, max_frames: int
) -> None:
    """On the real emulator, until the game is truncated within a step or at its end."""

    def make() -> gym.Env[Any, Any]:
        return gym.make(
            f"{game}NoFrameskip-v4", obs_type=obs_type, max_num_frames_per_episode=max_frames
        )

    ours = ActionRepeat(Monitor(NoopReset(make(), noop_max=0)))
    plain = make()
    ours.reset(seed=3)
    plain.reset(seed=3)
    rng = np.random.default_rng(max_frames)
    n_steps, terminated, truncated = 0, False, False
    while not (terminated or truncated):
        n_steps += 1
        action = int(rng.integers(4))
        expected = naive.repeat_action(plain, action, 4)
        obs, reward, terminated, truncated, info = ours.step(action)
        np.testing.assert_array_equal(obs, expected[0])
        assert (reward, terminated, truncated) == expected[1:4]
        assert info["episode_frame_number"] == expected[4]["episode_frame_number"]
    assert n_steps > 50


def test_renders_only_two_of_four_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    get_obs = AtariEnv._get_obs
    monkeypatch.setattr(
        AtariEnv, "_get_obs", lambda env: read.append(env._obs_type) or get_obs(env)
    )
    env = after_reset(ActionRepeat(Monitor(gym.make("BreakoutNoFrameskip-v4"))))
    env.step(0)  # PassiveEnvChecker reads the first observations
    read.clear()
    env.step(0)
    assert read == ["ram", "ram", "rgb", "rgb"]


def test_inner_observation_wrappers_receive_every_frame() -> None:
    shapes: list[tuple[int, ...]] = []

    def record(obs: Any) -> Any:
        shapes.append(obs.shape)
        return obs

    game = gym.make("BreakoutNoFrameskip-v4")
    env = after_reset(ActionRepeat(TransformObservation(game, record, game.observation_space)))
    for _ in range(3):
        env.step(0)
    assert shapes == [(210, 160, 3)] * 13


def test_emulator_returns_frames_again_after_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env = after_reset(ActionRepeat(gym.make("BreakoutNoFrameskip-v4")))
    env.step(0)
    with pytest.raises(IndexError):
        env.step(17)
    assert env.step(0)[0].shape == (210, 160, 3)


def test_rejects_skipping_frames_twice() -> None:
    for env in (
        gym.make("BreakoutDeterministic-v4"),
        gym.make("Breakout-v4"),  # skips 2 to 4 frames at random
        ActionRepeat(FakeGame(), frame_skip=2),
        MaxAndSkipEnv(FakeGame(), skip=4),
        MaxAndSkipObservation(FakeGame(), skip=4),
        AtariPreprocessing(gym.make("BreakoutNoFrameskip-v4"), frame_skip=4),
    ):
        with pytest.raises(ValueError, match="frame_skip=4"):
            ActionRepeat(env, frame_skip=4)
        assert ActionRepeat(env, frame_skip=1).frame_skip == 1


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("frame_skip", 0, ValueError),
        ("frame_skip", 2.5, TypeError),
        ("frame_skip", True, TypeError),
        ("max_pool", "no", TypeError),
    ],
)
def test_rejects_invalid_arguments(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"{name} .* {value!r}"):
        ActionRepeat(FakeGame(), **{name: value})
