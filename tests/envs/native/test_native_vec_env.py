"""Tests of the native vectorized environment against the Python wrappers, frame by frame."""

from __future__ import annotations

from typing import Any, Literal

import gymnasium as gym
import numpy as np
import pytest
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.monitor import Monitor

from sb3_atari_course import NativeAtariVecEnv
from sb3_atari_course.wrappers import crop_gray_resize
from tests.envs.native.comparison import FIELD, GAMES, assert_equal_steps, play_both, python_side

BREAKOUT = "BreakoutNoFrameskip-v4"
#: Without no-ops and FIRE nothing is random, and both sides start equal.
BARE: dict[str, Any] = {"noop_max": 0, "fire": False}


#: Games that are compared by default; the others are marked slow.
WHOLE_GAMES = [("Breakout", FIELD), ("Pong", None)]


@pytest.mark.parametrize(
    ("game", "crop", "padding"),
    [
        pytest.param(
            game, crop, padding, marks=() if (game, crop) in WHOLE_GAMES else pytest.mark.slow
        )
        for game in GAMES
        for crop, padding in ((FIELD, "repeat"), (None, "zero"))
    ],
)
def test_full_games_equal_the_wrappers(
    game: str, crop: Any, padding: Literal["repeat", "zero"]
) -> None:
    native = NativeAtariVecEnv(f"{game}NoFrameskip-v4", 2, crop=crop, padding=padding, **BARE)
    python = python_side(game, 2, crop=crop, padding=padding)
    np.testing.assert_array_equal(native.reset(), python.reset())
    numbers = ("lives", "frame_number", "episode_frame_number")
    for info, twin in zip(native.reset_infos, python.unwrapped.reset_infos, strict=True):
        assert info == {name: twin[name] for name in numbers}
    n_over = n_done = 0
    for pair in play_both(native, python, 1000 if game == "Pong" else 700):
        n_over += int(assert_equal_steps(pair).sum())
        n_done += int(pair.native[2].sum())
    assert n_over >= 1
    assert (n_done > n_over) == (game != "Pong")  # which has no lives
    native.close()


@pytest.mark.parametrize("game", ["Breakout", pytest.param("Seaquest", marks=pytest.mark.slow)])
def test_executed_actions_with_fire_play_the_same_game(game: str) -> None:
    native = NativeAtariVecEnv(f"{game}NoFrameskip-v4", 3, crop=FIELD, noop_max=0)
    python = python_side(game, 3, crop=FIELD)
    np.testing.assert_array_equal(native.reset(), python.reset())
    n_over = sum(int(assert_equal_steps(pair).sum()) for pair in play_both(native, python, 400))
    assert n_over >= 1
    native.close()


@pytest.mark.parametrize(
    "settings",
    [
        {"terminal_on_life_loss": False},
        {"clip_reward": False, "frame_skip": 3},
        {"shape": (42, 50), "crop": FIELD},
        pytest.param({"frame_skip": 1}, marks=pytest.mark.slow),
    ],
    ids=lambda settings: ", ".join(settings),
)
def test_settings_equal_those_of_the_wrappers(settings: dict[str, Any]) -> None:
    """With three games in two batches."""
    native = NativeAtariVecEnv("SeaquestNoFrameskip-v4", 3, **BARE, **settings)
    python = python_side("Seaquest", 3, **settings)
    np.testing.assert_array_equal(native.reset(), python.reset())
    rewards = []
    for pair in play_both(native, python, 400):
        assert_equal_steps(pair)
        rewards += pair.native[1].tolist()
    assert (max(rewards) > 1) == (settings.get("clip_reward") is False)
    native.close()


def test_game_at_the_frame_limit_is_truncated() -> None:
    limit = {"max_num_frames_per_episode": 401}  # in the middle of a step
    native = NativeAtariVecEnv(BREAKOUT, 2, crop=FIELD, **BARE, **limit)
    python = python_side("Breakout", 2, crop=FIELD, env_kwargs=limit)
    np.testing.assert_array_equal(native.reset(), python.reset())
    cut = []
    for step, pair in enumerate(play_both(native, python, 210)):
        infos = [dict(info) for info in pair.native[3]]
        assert_equal_steps(pair)
        cut += [step for info in infos if info["TimeLimit.truncated"]]
        for info in infos:
            assert info.get("episode", {"l": 401})["l"] <= 401
    assert cut[:2] == [100, 100]
    native.close()


@pytest.mark.parametrize("crop", [FIELD, None])
def test_last_frame_of_a_game_is_ale_pys(crop: Any) -> None:
    """It is not a frame of the next game or of another environment."""
    ale = AtariVectorEnv(
        "breakout",
        3,
        img_height=210 if crop else 84,
        img_width=160 if crop else 84,
        stack_num=1,
        noop_max=0,
        use_fire_reset=False,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    native = NativeAtariVecEnv(BREAKOUT, 3, crop=crop, **BARE)
    ale.reset()
    native.reset()
    rng = np.random.default_rng(0)
    n_over = 0
    for _ in range(300):
        actions = rng.integers(4, size=3)
        final = ale.step(actions)[-1].get("final_obs")
        obs, _, _, infos = native.step(actions)
        for i, info in enumerate(infos):
            if "episode" in info:
                n_over += 1
                last = info["terminal_observation"][-1]
                expected = crop_gray_resize(final[i, 0], crop=crop) if crop else final[i, 0]
                np.testing.assert_array_equal(last, expected.reshape(84, 84))
                assert (last != obs[i, -1]).any()
    assert n_over >= 3
    native.close()


def test_lengths_of_an_id_that_skips_frames_are_in_its_steps() -> None:
    native = NativeAtariVecEnv("BreakoutDeterministic-v4", 1, frame_skip=1, **BARE)
    python = python_side("Breakout", 1, frame_skip=1, env_kwargs={"frameskip": 4})
    np.testing.assert_array_equal(native.reset(), python.reset())
    assert sum(int(assert_equal_steps(p).sum()) for p in play_both(native, python, 400)) >= 1
    native.close()


@pytest.mark.parametrize(
    ("game", "sticky"),
    [
        pytest.param("NameThisGame", 0.0, marks=pytest.mark.slow),
        ("Berzerk", 0.0),
        ("Skiing", 0.0),
        pytest.param("Skiing", 0.25, marks=pytest.mark.slow),
    ],
)
def test_scores_and_lengths_equal_sb3_monitor(game: str, sticky: float) -> None:
    """Some emulators play frames during a reset; Skiing's no-ops have negative rewards.

    With sticky actions only no-ops are compared, because repeating other actions is random.
    """
    env_id, n_steps = f"{game}NoFrameskip-v4", 200 if sticky == 0 else 1
    native = NativeAtariVecEnv(
        env_id,
        3,
        seed=1,
        clip_reward=False,
        fire=False,
        repeat_action_probability=sticky,
        max_num_frames_per_episode=4 * n_steps,
    )
    monitors = [Monitor(gym.make(env_id, max_num_frames_per_episode=0)) for _ in range(3)]
    native.reset()
    n_noops = []
    rng = np.random.default_rng(0)
    for _ in range(2):  # games: the second starts within a step
        for info, monitor in zip(native.reset_infos, monitors, strict=True):
            n_reset = monitor.reset(seed=0)[1]["episode_frame_number"]
            assert (n_reset > 0) == (game != "Skiing")
            n_noops.append(info["episode_frame_number"] - n_reset)
            for _ in range(n_noops[-1]):
                monitor.step(0)
        for step in range(n_steps):
            actions = rng.integers(2, size=3) if sticky == 0 else np.zeros(3, np.int64)
            infos = native.step(actions)[3]
            for i, monitor in enumerate(monitors):
                for _ in range(4):
                    monitor.step(int(actions[i]))
                assert ("episode" in infos[i]) == (step == n_steps - 1)
        for info, monitor in zip(infos, monitors, strict=True):
            assert info["episode"]["r"] == sum(monitor.rewards)
            assert info["episode"]["l"] == len(monitor.rewards)
    assert len(set(n_noops)) > 2
    assert sum(monitors[0].rewards) != 0
    native.close()


def test_plays_zero_to_noop_max_noops() -> None:
    env = NativeAtariVecEnv(BREAKOUT, 12, seed=0, noop_max=2)
    env.reset()
    assert {info["episode_frame_number"] for info in env.reset_infos} == {0, 1, 2}
    env.close()


class TestSeeds:
    @staticmethod
    def play(seed: int, *, again: bool = False) -> list[Any]:
        env = NativeAtariVecEnv(
            "SpaceInvadersNoFrameskip-v4", 3, seed=seed, repeat_action_probability=0.25
        )
        if again:  # neither the time of seeding nor earlier steps matter
            env.reset()
            env.step(np.zeros(3, int))
            env.seed(seed)
        results: list[Any] = [env.reset()]
        rng = np.random.default_rng(0)
        for _ in range(60):
            obs, rewards, dones, _ = env.step(rng.integers(6, size=3))
            results += [obs, rewards, dones]
        env.close()
        return results

    def test_equal_seeds_agree_and_different_seeds_differ(self) -> None:
        first, again, other = self.play(5), self.play(5, again=True), self.play(6)
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a, b)
        assert any((a != b).any() for a, b in zip(first, other, strict=True))
        assert any((a[0] != a[1]).any() for a in first)

    @staticmethod
    def n_noops(n_envs: int, seed: int | None) -> list[int]:
        env = NativeAtariVecEnv(BREAKOUT, n_envs, seed=seed)
        env.reset()
        env.close()
        return [info["episode_frame_number"] for info in env.reset_infos]

    def test_environment_i_is_seeded_with_seed_plus_i(self) -> None:
        games = self.n_noops(5, seed=5)
        assert games[2:] == self.n_noops(3, seed=7)
        assert len(set(games)) > 2

    def test_seeds_may_exceed_those_of_ale_py(self) -> None:
        assert self.n_noops(3, seed=2**32 - 2) == [
            *self.n_noops(2, seed=2**31 - 2),
            *self.n_noops(1, seed=0),
        ]
        assert self.n_noops(2, seed=7 + 2**16) != self.n_noops(2, seed=7)

    def test_random_seeds_differ_and_do_not_use_the_global_generator(self) -> None:
        expected = np.random.RandomState(3).randint(2**31)
        np.random.seed(3)  # noqa: NPY002
        assert self.n_noops(5, None) != self.n_noops(5, None)  # equal once in 30**5
        assert np.random.randint(2**31) == expected  # noqa: NPY002
