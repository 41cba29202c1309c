"""Tests of ``wrap_atari`` and ``make_atari_env``."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from ale_py.env import AtariEnv
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv, VecFrameStack

from sb3_atari_course import FastDQN, make_atari_env, wrap_atari
from sb3_atari_course.envs import make_game
from tests import naive
from tests.fakes import ActionRecorder, FakeGame

GAME = "BreakoutNoFrameskip-v4"
FIELD = (30, 195, 5, 155)
SMALL = {"shape": (36, 36)}


def layers(env: gym.Env[Any, Any]) -> list[str]:
    """Return the names of the wrappers, innermost first."""
    names = []
    while isinstance(env, gym.Wrapper):
        names.insert(0, type(env).__name__)
        env = env.env
    return names


def rollout(vec_env: VecEnv, n_steps: int, seed: int = 0) -> list[NDArray[Any]]:
    """Play random actions; return all observations, rewards and dones."""
    rng = np.random.default_rng(seed)
    n_actions = int(vec_env.action_space.n)  # type: ignore[attr-defined]
    played = [vec_env.reset()]
    for _ in range(n_steps):
        obs, rewards, dones, _ = vec_env.step(rng.integers(n_actions, size=vec_env.num_envs))
        played += [obs, rewards, dones]
    return [np.array(array) for array in played]


class TestWrapAtari:
    def test_applies_the_wrappers_in_order(self) -> None:
        env = wrap_atari(FakeGame(shape=(210, 160, 3)), crop=FIELD, n_stack=4)
        assert layers(env) == [
            "NoopReset",
            "ActionRepeat",
            "LifeLossTerminal",
            "FireOnReset",
            "CropGrayResize",
            "ClipReward",
            "FrameStack",
        ]

    def test_all_but_the_observation_wrapper_can_be_turned_off(self) -> None:
        env = wrap_atari(
            FakeGame(shape=(210, 160, 3)),
            noop_max=0,
            frame_skip=1,
            terminal_on_life_loss=False,
            fire_on_reset=False,
            clip_reward=False,
        )
        assert layers(env) == ["CropGrayResize"]

    @pytest.mark.parametrize("game", ["MsPacman", "Freeway"])
    def test_rgb_frames_give_the_pixels_of_sb3_atari_wrapper(self, game: str) -> None:
        """In games without FIRE, which SB3 always presses, and without no-ops."""
        ours = wrap_atari(gym.make(f"{game}NoFrameskip-v4"), noop_max=0)
        theirs = AtariWrapper(gym.make(f"{game}NoFrameskip-v4"), noop_max=0)
        np.testing.assert_array_equal(ours.reset(seed=1)[0], theirs.reset(seed=1)[0])
        rng = np.random.default_rng(1)
        for _ in range(200):
            action = int(rng.integers(3))
            step, twin = ours.step(action), theirs.step(action)
            np.testing.assert_array_equal(step[0], twin[0])
            assert step[1:4] == twin[1:4]

    def test_inner_monitor_records_unclipped_returns_of_full_games(self) -> None:
        """Rewards are clipped and life loss is terminal; Monitor's score is a bare emulator's."""
        tape = ActionRecorder(gym.make("SpaceInvadersNoFrameskip-v4"))
        env = wrap_atari(Monitor(tape))
        rng = np.random.default_rng(0)
        env.reset(seed=0)
        rewards: list[float] = []
        n_episodes, info = 0, {}
        while "episode" not in info:
            _, reward, terminated, _, info = env.step(int(rng.integers(6)))
            rewards.append(float(reward))
            if terminated:
                n_episodes += 1
                if "episode" not in info:
                    env.reset()
        score, over = naive.replay("space_invaders", tape.games[0])
        assert len(tape.games) == 1
        assert over
        assert info["episode"]["r"] == score > 20.0
        assert info["episode"]["l"] == len(tape.games[0])
        assert n_episodes == 3  # lives
        assert set(rewards) <= {0.0, 1.0}

    @pytest.mark.parametrize(
        ("env_id", "kwargs", "settings", "named"),
        [
            ("ALE/Breakout-v5", {}, {}, "frame_skip=4"),
            ("ALE/Breakout-v5", {"frameskip": 1, "continuous": True}, {}, "Box"),
            (GAME, {}, {"crop": (0, 300, 0, 160)}, "300"),
            (GAME, {}, {"shape": (0, 84)}, "shape"),
            (GAME, {}, {"n_stack": 0}, "n_stack .* 0"),
            (GAME, {}, {"frame_skip": 0}, "frame_skip .* 0"),
            (GAME, {}, {"noop_max": -1}, "noop_max .* -1"),
            ("Pendulum-v1", {}, {}, "Pendulum-v1"),
            ("FrozenLake-v1", {}, {}, "FrozenLake-v1"),
        ],
    )
    def test_rejects_invalid_values_and_other_environments(
        self, env_id: str, kwargs: dict[str, Any], settings: dict[str, Any], named: str
    ) -> None:
        with pytest.raises(ValueError, match=named):
            wrap_atari(gym.make(env_id, **kwargs), **settings)

    @pytest.mark.parametrize("flag", ["terminal_on_life_loss", "fire_on_reset", "clip_reward"])
    def test_rejects_flags_that_are_not_bools(self, flag: str) -> None:
        kwargs: dict[str, Any] = {flag: "no"}
        with pytest.raises(TypeError, match=f"{flag} .*'no'"):
            wrap_atari(FakeGame(shape=(210, 160, 3)), **kwargs)

    def test_suggests_the_nearest_name_for_an_unknown_argument(self) -> None:
        with pytest.raises(TypeError, match=r"wrap_atari .*frame_stack=4.* n_stack\?"):
            wrap_atari(FakeGame(shape=(210, 160, 3)), frame_stack=4)  # type: ignore[call-arg]

    def test_rejects_an_id(self) -> None:
        with pytest.raises(TypeError, match=GAME):
            wrap_atari(GAME)  # type: ignore[arg-type]


class TestMakeAtariEnv:
    def test_observations_suit_a_cnn_policy(self) -> None:
        env = make_atari_env(GAME, 2, seed=0, wrapper_kwargs={"crop": FIELD})
        assert env.observation_space == spaces.Box(0, 255, (4, 84, 84), np.uint8)
        obs = env.reset()
        assert obs.shape == (2, 4, 84, 84)
        assert obs.any()
        np.testing.assert_array_equal(obs[:, :1].repeat(4, axis=1), obs)  # the first frame repeated
        assert env.env_is_wrapped(Monitor) == [True, True]

    def test_equal_seeds_agree_and_different_seeds_differ(self) -> None:
        def play(seed: int) -> list[NDArray[Any]]:
            return rollout(make_atari_env("SpaceInvadersNoFrameskip-v4", 2, seed=seed), 60)

        first, again, other = play(5), play(5), play(6)
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a, b)
        assert any((a != b).any() for a, b in zip(first, other, strict=True))
        assert any((obs[0] != obs[1]).any() for obs in first[:4])

    def test_worker_processes_give_the_same_rollout(self) -> None:
        kwargs: dict[str, Any] = {"seed": 3, "wrapper_kwargs": {"crop": FIELD}}
        here = make_atari_env(GAME, 2, **kwargs)
        workers = make_atari_env(
            GAME, 2, vec_env_cls=SubprocVecEnv, vec_env_kwargs={"start_method": "spawn"}, **kwargs
        )
        try:
            for a, b in zip(rollout(here, 30), rollout(workers, 30), strict=True):
                np.testing.assert_array_equal(a, b)
        finally:
            workers.close()

    def test_grayscale_and_rgb_frames_of_breakout_give_the_same_pixels(self) -> None:
        gray = make_atari_env(GAME, seed=3)
        rgb = make_atari_env(GAME, seed=3, env_kwargs={"obs_type": "rgb"})
        for a, b in zip(rollout(gray, 60), rollout(rgb, 60), strict=True):
            np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize("native", [False, True])
    def test_rejects_environments_that_are_not_atari_games(self, native: bool) -> None:
        with pytest.raises(ValueError, match="CartPole-v1"):
            make_atari_env("CartPole-v1", native=native)
        with pytest.raises(TypeError, match="CartPole-v1"):
            make_atari_env(gym.spec("CartPole-v1"), native=native)  # type: ignore[arg-type]

    def test_accepts_custom_entry_points(self) -> None:
        """A function that makes a game, and a subclass of ``AtariEnv``."""
        entry_points = {"Function-v0": make_breakout, "Class-v0": f"{__name__}:OwnGame"}
        for env_id, entry_point in entry_points.items():
            gym.register(env_id, entry_point)
            try:
                env = make_atari_env(env_id, 1, seed=0)
                assert env.reset().shape == (1, 4, 84, 84)
                env.close()
            finally:
                del gym.registry[env_id]

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"native": "no"}, "native .*'no'"),
            ({"wrapper_kwargs": {"crops": FIELD}}, r"crops=\(30.* crop\?"),
            ({"native": True, "wrapper_kwargs": {"crops": FIELD}}, r"crops=\(30.* crop\?"),
            ({"env_kwargs": {"continuous": 0}}, "continuous .*0"),
            ({"crop": FIELD}, r"crop=\(30.* wrapper_kwargs=dict\(crop=...\)\?"),
            ({"mode": 3}, r"mode=3.* env_kwargs=dict\(mode=...\)\?"),
            ({"monitor_dirs": "logs"}, r"monitor_dirs='logs'.* monitor_dir\?"),
        ],
        ids=str,
    )
    def test_rejects_invalid_arguments(self, kwargs: dict[str, Any], message: str) -> None:
        with pytest.raises(TypeError, match=message) as caught:
            make_atari_env(GAME, **kwargs)
        assert "\n" not in str(caught.value)

    def test_warns_about_a_second_frame_stack(self) -> None:
        env = make_atari_env(GAME)
        FastDQN("CnnPolicy", env, buffer_size=10)  # a warning would be an error
        with pytest.warns(UserWarning, match="16 channels"):
            FastDQN("CnnPolicy", VecFrameStack(env, 4), buffer_size=10)

    def test_rejects_a_positional_seed(self) -> None:
        with pytest.raises(TypeError, match=r"7 by position.*seed="):
            make_atari_env(GAME, 2, 7)  # type: ignore[misc]


def make_breakout(**kwargs: Any) -> gym.Env[Any, Any]:
    return gym.make(GAME, **kwargs)


class OwnGame(AtariEnv):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__("breakout", frameskip=1, repeat_action_probability=0.0, **kwargs)


#: Games with different properties; the others are marked slow.
KINDS = {
    "Asteroids",  # flickers
    "Backgammon",  # no NOOP, no lives
    "Boxing",  # 18 actions, no lives
    "Breakout",
    "Carnival",  # 214 rows
    "Freeway",  # no FIRE, no lives
    "JourneyEscape",  # 230 rows, no FIRE, no lives
    "Klax",  # 250 rows
    "LostLuggage",  # no FIRE, and the emulator plays 38 frames during a reset
    "MsPacman",  # no FIRE, flickers
    "NameThisGame",  # the emulator plays 134 frames during a reset
    "VideoCheckers",  # no NOOP
}


class TestAllGames:
    """All games of ale-py, with and without lives or FIRE."""

    @pytest.mark.parametrize(
        "env_id",
        [
            pytest.param(id_, marks=() if id_[4:-3] in KINDS else pytest.mark.slow)
            for id_ in sorted(gym.registry)
            if id_.startswith("ALE/") and id_.endswith("-v5")
        ],
    )
    def test_fifty_steps_give_clipped_rewards_and_stacked_frames(self, env_id: str) -> None:
        env = make_vec_env(
            partial(make_game, env_id),
            1,
            seed=0,
            env_kwargs={"frameskip": 1, "repeat_action_probability": 0.0},
            wrapper_class=wrap_atari,
            wrapper_kwargs={"n_stack": 4},
        )
        played = rollout(env, 50)
        assert played[0].shape == (1, 84, 84, 4)
        assert set(np.concatenate(played[2::3]).tolist()) <= {-1.0, 0.0, 1.0}


def test_wrapped_game_can_be_recreated_from_its_spec() -> None:
    env = wrap_atari(gym.make(GAME), crop=FIELD, n_stack=3)
    assert env.spec is not None
    again = gym.make(env.spec)
    assert layers(again)[-7:] == layers(env)[-7:]
    np.testing.assert_array_equal(env.reset(seed=3)[0], again.reset(seed=3)[0])
