"""How long an action lasts."""

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


def started(env: ActionRepeat) -> ActionRepeat:
    env.reset(seed=0)
    return env


def test_a_step_holds_the_action_and_sums_the_rewards() -> None:
    game = FakeGame(step_reward=1.5)
    env = started(ActionRepeat(game, frame_skip=4))
    _, reward, terminated, truncated, info = env.step(2)
    assert game.tape == ["reset(0)", 2, 2, 2, 2]
    assert (reward, terminated, truncated) == (6.0, False, False)
    assert info == {"frame": 4}


def test_the_observation_is_the_maximum_of_the_last_two_frames() -> None:
    # frames 3 and 4: green is 3 and 4, blue is 97 and 96
    assert pixel(started(ActionRepeat(FakeGame())).step(0)[0]) == (1, 4, 97)


def test_without_pooling_it_is_the_last_frame() -> None:
    assert pixel(started(ActionRepeat(FakeGame(), max_pool=False)).step(0)[0]) == (1, 4, 96)
    assert pixel(started(ActionRepeat(FakeGame(), frame_skip=1)).step(0)[0]) == (1, 1, 99)


@pytest.mark.parametrize("end", ["ends_at", "truncated_at"])
@pytest.mark.parametrize("frame", [1, 2, 3, 5, 6, 7])
def test_an_episode_that_ends_inside_shows_its_real_last_frame(end: str, frame: int) -> None:
    env = started(ActionRepeat(FakeGame(**{end: frame}), frame_skip=4))
    if frame > 4:
        env.step(0)
    obs, reward, terminated, truncated, _ = env.step(0)
    assert pixel(obs) == (1, frame, 100 - frame)
    assert reward == (frame - 1) % 4 + 1
    assert (terminated, truncated) == (end == "ends_at", end == "truncated_at")


def test_an_episode_that_ends_with_the_step_is_pooled_as_always() -> None:
    assert pixel(started(ActionRepeat(FakeGame(truncated_at=4))).step(0)[0]) == (1, 4, 97)


def test_an_environment_may_reuse_its_array() -> None:
    env = started(ActionRepeat(FakeGame(reuse_array=True)))
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
def test_unread_screens_change_nothing(game: str, obs_type: str, max_frames: int) -> None:
    """The real emulator, until the game is cut off inside a step or at its end."""

    def make() -> gym.Env[Any, Any]:
        return gym.make(
            f"{game}NoFrameskip-v4", obs_type=obs_type, max_num_frames_per_episode=max_frames
        )

    ours = ActionRepeat(Monitor(NoopReset(make(), noop_max=0)))
    twin = make()
    ours.reset(seed=3)
    twin.reset(seed=3)
    rng = np.random.default_rng(max_frames)
    n_steps, terminated, truncated = 0, False, False
    while not (terminated or truncated):
        n_steps += 1
        action = int(rng.integers(4))
        expected = naive.repeat_action(twin, action, 4)
        obs, reward, terminated, truncated, info = ours.step(action)
        np.testing.assert_array_equal(obs, expected[0])
        assert (reward, terminated, truncated) == expected[1:4]
        assert info["episode_frame_number"] == expected[4]["episode_frame_number"]
    assert n_steps > 50


def test_two_of_four_screens_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    get_obs = AtariEnv._get_obs
    monkeypatch.setattr(
        AtariEnv, "_get_obs", lambda env: read.append(env._obs_type) or get_obs(env)
    )
    env = started(ActionRepeat(Monitor(gym.make("BreakoutNoFrameskip-v4"))))
    env.step(0)  # Gymnasium's checker looks at the first frames
    read.clear()
    env.step(0)
    assert read == ["ram", "ram", "rgb", "rgb"]


def test_a_wrapper_inside_that_looks_at_screens_sees_them_all() -> None:
    seen: list[tuple[int, ...]] = []

    def look(obs: Any) -> Any:
        seen.append(obs.shape)
        return obs

    game = gym.make("BreakoutNoFrameskip-v4")
    env = started(ActionRepeat(TransformObservation(game, look, game.observation_space)))
    for _ in range(3):
        env.step(0)
    assert seen == [(210, 160, 3)] * 13


def test_the_emulator_shows_its_screen_again_after_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env = started(ActionRepeat(gym.make("BreakoutNoFrameskip-v4")))
    env.step(0)
    with pytest.raises(IndexError):
        env.step(17)
    assert env.step(0)[0].shape == (210, 160, 3)


def test_skipping_twice_is_refused() -> None:
    for env in (
        gym.make("BreakoutDeterministic-v4"),
        gym.make("Breakout-v4"),  # skips 2 to 4 frames at random
        ActionRepeat(FakeGame(), frame_skip=2),
        MaxAndSkipEnv(FakeGame(), skip=4),
        MaxAndSkipObservation(FakeGame(), skip=4),
        AtariPreprocessing(gym.make("BreakoutNoFrameskip-v4"), frame_skip=4),
    ):
        with pytest.raises(ValueError, match="skip twice"):
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
def test_a_wrong_argument_is_named(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"{name} .* {value!r}"):
        ActionRepeat(FakeGame(), **{name: value})
