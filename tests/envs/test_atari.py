"""From the emulator to the agent."""

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
from stable_baselines3.common.vec_env import (
    SubprocVecEnv,
    VecEnv,
)

from sb3_atari_course import (
    make_atari_env,
    wrap_atari,
)
from sb3_atari_course.envs import make_game
from tests import naive
from tests.fakes import FakeGame, Tape

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
    def test_the_order_of_the_wrappers(self) -> None:
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

    def test_everything_can_be_left_out(self) -> None:
        env = wrap_atari(
            FakeGame(shape=(210, 160, 3)),
            noop_max=0,
            frame_skip=1,
            terminal_on_life_loss=False,
            fire_on_reset=False,
            clip_reward=False,
        )
        assert layers(env) == ["CropGrayResize"]

    def test_what_the_agent_sees(self) -> None:
        env = wrap_atari(gym.make(GAME), crop=FIELD)
        assert env.observation_space == spaces.Box(0, 255, (84, 84, 1), np.uint8)
        assert env.reset(seed=0)[0] in env.observation_space
        stacked = wrap_atari(gym.make(GAME), shape=(42, 50), n_stack=3)
        assert stacked.reset(seed=0)[0].shape == (42, 50, 3)

    @pytest.mark.parametrize("game", ["MsPacman", "Freeway"])
    def test_colour_screens_become_the_pixels_of_sb3(self, game: str) -> None:
        """Games without FIRE, which SB3 cannot leave out; no no-ops."""
        ours = wrap_atari(gym.make(f"{game}NoFrameskip-v4"), noop_max=0)
        theirs = AtariWrapper(gym.make(f"{game}NoFrameskip-v4"), noop_max=0)
        np.testing.assert_array_equal(ours.reset(seed=1)[0], theirs.reset(seed=1)[0])
        rng = np.random.default_rng(1)
        for _ in range(200):
            action = int(rng.integers(3))
            step, twin = ours.step(action), theirs.step(action)
            np.testing.assert_array_equal(step[0], twin[0])
            assert step[1:4] == twin[1:4]

    def test_monitor_inside_counts_whole_unclipped_games(self) -> None:
        """The agent sees lives and signs; Monitor's score is that of a bare emulator."""
        tape = Tape(gym.make("SpaceInvadersNoFrameskip-v4"))
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

    def test_skipping_twice_is_refused(self) -> None:
        for env_id in ("ALE/Breakout-v5", "BreakoutDeterministic-v4"):
            with pytest.raises(ValueError, match=r"4 frames a step already.*skip twice"):
                wrap_atari(gym.make(env_id))
            assert wrap_atari(gym.make(env_id), frame_skip=1) is not None
        assert wrap_atari(gym.make("ALE/Breakout-v5", frameskip=1)) is not None

    def test_continuous_actions_are_refused(self) -> None:
        env = gym.make("ALE/Breakout-v5", frameskip=1, continuous=True)
        with pytest.raises(ValueError, match=r"discrete actions, got Box.*continuous=False"):
            wrap_atari(env)

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"crop": (0, 300, 0, 160)}, "leaves the screen"),
            ({"shape": (0, 84)}, "shape"),
            ({"n_stack": 0}, "n_stack must be at least 1, got 0"),
            ({"frame_skip": 0}, "frame_skip must be at least 1, got 0"),
            ({"noop_max": -1}, "noop_max must be at least 0, got -1"),
        ],
    )
    def test_a_wrong_value_is_named(self, kwargs: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            wrap_atari(gym.make(GAME), **kwargs)

    @pytest.mark.parametrize("flag", ["terminal_on_life_loss", "fire_on_reset", "clip_reward"])
    @pytest.mark.parametrize("value", ["no", 0, None])
    def test_a_flag_is_a_bool(self, flag: str, value: Any) -> None:
        kwargs: dict[str, Any] = {flag: value}
        with pytest.raises(TypeError, match=f"{flag} .*{value!r}"):
            wrap_atari(FakeGame(shape=(210, 160, 3)), **kwargs)
        kwargs[flag] = np.False_
        wrap_atari(FakeGame(shape=(210, 160, 3)), **kwargs)

    @pytest.mark.parametrize(
        ("name", "near"),
        [
            ("crops", "crop"),
            ("screen_size", "shape"),
            ("frameskip", "frame_skip"),
            ("frame_stack", "n_stack"),
            ("terminal_on_lifeloss", "terminal_on_life_loss"),
            ("noop", "noop_max"),
            ("fire", "fire_on_reset"),
        ],
    )
    def test_an_unknown_argument_is_named_with_the_nearest(self, name: str, near: str) -> None:
        kwargs: dict[str, Any] = {name: 84}
        with pytest.raises(TypeError, match=rf"wrap_atari .*{name}=84.* {near}\?"):
            wrap_atari(FakeGame(shape=(210, 160, 3)), **kwargs)

    @pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1"])
    def test_another_environment_than_a_game_is_refused(self, env_id: str) -> None:
        with pytest.raises(ValueError, match=f"'{env_id}' is not an Atari game.*make_vec_env"):
            wrap_atari(gym.make(env_id))

    @pytest.mark.parametrize("wrong", [GAME, None, 4])
    def test_what_is_not_an_environment_is_refused(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match=f"wrap_atari needs .*{wrong!r}"):
            wrap_atari(wrong)


class TestMakeAtariEnv:
    def test_is_ready_for_a_cnn_policy(self) -> None:
        env = make_atari_env(GAME, 2, seed=0, wrapper_kwargs={"crop": FIELD})
        assert env.observation_space == spaces.Box(0, 255, (4, 84, 84), np.uint8)
        assert env.reset().shape == (2, 4, 84, 84)
        assert env.env_is_wrapped(Monitor) == [True, True]

    @pytest.mark.parametrize("n_envs", [1, 3])
    def test_equal_seeds_agree_and_different_seeds_differ(self, n_envs: int) -> None:
        def play(seed: int) -> list[NDArray[Any]]:
            return rollout(make_atari_env("SpaceInvadersNoFrameskip-v4", n_envs, seed=seed), 60)

        first, again, other = play(5), play(5), play(6)
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a, b)
        assert any((a != b).any() for a, b in zip(first, other, strict=True))
        if n_envs > 1:
            assert any((obs[0] != obs[1]).any() for obs in first[:4])

    def test_worker_processes_play_the_same(self) -> None:
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

    def test_grey_and_colour_screens_of_breakout_are_the_same(self) -> None:
        gray = make_atari_env(GAME, seed=3)
        rgb = make_atari_env(GAME, seed=3, env_kwargs={"obs_type": "rgb"})
        for a, b in zip(rollout(gray, 60), rollout(rgb, 60), strict=True):
            np.testing.assert_array_equal(a, b)

    def test_monitor_files_are_written(self, tmp_path: Any) -> None:
        env = make_atari_env(GAME, seed=0, monitor_dir=str(tmp_path))
        rollout(env, 300)
        env.close()
        header, columns, *games = (tmp_path / "0.monitor.csv").read_text().splitlines()
        assert GAME in header
        assert columns == "r,l,t"
        assert len(games) >= 1

    def test_the_first_picture_is_repeated(self) -> None:
        obs = make_atari_env(GAME, seed=0).reset()[0]
        assert obs.any()
        for picture in obs:
            np.testing.assert_array_equal(picture, obs[0])

    @pytest.mark.parametrize("env_id", ["BrekoutNoFrameskip-v4", "Breakout-v55", "nonsense"])
    def test_an_unknown_game_is_named_with_a_near_one(self, env_id: str) -> None:
        with pytest.raises(ValueError, match=f"unknown environment '{env_id}'") as caught:
            make_atari_env(env_id)
        if "Br" in env_id:
            assert "did you mean 'BreakoutNoFrameskip-v4'?" in str(caught.value)

    def test_a_game_that_skips_is_refused(self) -> None:
        with pytest.raises(ValueError, match="skip twice"):
            make_atari_env("ALE/Breakout-v5")

    @pytest.mark.parametrize("native", [False, True])
    @pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
    def test_another_environment_than_a_game_is_refused(self, env_id: str, native: bool) -> None:
        with pytest.raises(ValueError, match=f"'{env_id}' is not an Atari game.*make_vec_env"):
            make_atari_env(env_id, native=native)

    def test_a_custom_entry_point_is_not_refused(self) -> None:
        """A function may make anything, and a class may be derived from the emulator's."""
        entry_points = {"Function-v0": make_breakout, "Class-v0": f"{__name__}:OwnGame"}
        for env_id, entry_point in entry_points.items():
            gym.register(env_id, entry_point)
            try:
                env = make_atari_env(env_id, 1, seed=0)
                assert env.reset().shape == (1, 4, 84, 84)
                env.close()
            finally:
                del gym.registry[env_id]

    @pytest.mark.parametrize("wrong", [None, 4, FakeGame(), gym.spec("CartPole-v1")])
    def test_an_id_is_a_string(self, wrong: Any) -> None:
        for native in (False, True):
            with pytest.raises(TypeError, match=r"BreakoutNoFrameskip-v4.*wrap_atari"):
                make_atari_env(wrong, native=native)

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"native": "no"}, "native .*'no'"),
            ({"native": 0}, "native .*0"),
            ({"wrapper_kwargs": {"crops": FIELD}}, r"crops=\(30, 195, 5, 155\).* crop\?"),
            ({"wrapper_kwargs": {"clip_reward": "no"}}, "clip_reward .*'no'"),
            ({"env_kwargs": {"full_action_space": "no"}}, "full_action_space .*'no'"),
            ({"env_kwargs": {"continuous": 0}}, "continuous .*0"),
            ({"crop": FIELD}, r"crop=\(30.* wrapper_kwargs=dict\(crop=...\)\?"),
            ({"screen_size": 84}, r"screen_size=84.* wrapper_kwargs=dict\(shape=...\)\?"),
            ({"mode": 3}, r"mode=3.* env_kwargs=dict\(mode=...\)\?"),
            ({"frame_stack": 4}, r"frame_stack=4.* n_stack\?"),
            ({"monitor_dirs": "logs"}, r"monitor_dirs='logs'.* monitor_dir\?"),
            ({"n_threads": 2}, "n_threads=2"),
        ],
        ids=str,
    )
    def test_a_wrong_argument_is_named(self, kwargs: dict[str, Any], message: str) -> None:
        with pytest.raises(TypeError, match=message) as caught:
            make_atari_env(GAME, **kwargs)
        assert "\n" not in str(caught.value)

    def test_native_knows_the_names_of_the_wrappers(self) -> None:
        with pytest.raises(TypeError, match=r"crops=1.* crop\?"):
            make_atari_env(GAME, native=True, wrapper_kwargs={"crops": 1})

    def test_a_seed_by_position_as_sb3_has_it_is_refused(self) -> None:
        with pytest.raises(TypeError, match=r"make_atari_env got 7 by position: .*seed="):
            make_atari_env(GAME, 2, 7)  # type: ignore[misc]


def make_breakout(**kwargs: Any) -> gym.Env[Any, Any]:
    return gym.make(GAME, **kwargs)


class OwnGame(AtariEnv):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__("breakout", frameskip=1, repeat_action_probability=0.0, **kwargs)


#: Games that differ in kind; the others are slow.
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
    """Every game that ale-py ships, with and without lives or FIRE."""

    @pytest.mark.parametrize(
        "env_id",
        [
            pytest.param(id_, marks=() if id_[4:-3] in KINDS else pytest.mark.slow)
            for id_ in sorted(gym.registry)
            if id_.startswith("ALE/") and id_.endswith("-v5")
        ],
    )
    def test_fifty_steps(self, env_id: str) -> None:
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

    def test_there_are_games_of_each_kind(self) -> None:
        """So that the test above means something."""
        games = [gym.make(f"ALE/{name}-v5").unwrapped for name in KINDS]
        actions = [game.get_action_meanings() for game in games]  # type: ignore[attr-defined]
        assert {"FIRE" in names for names in actions} == {True, False}
        assert {"NOOP" in names for names in actions} == {True, False}
        assert {game.reset(seed=0)[1]["lives"] > 0 for game in games} == {True, False}
        assert {game.observation_space.shape[0] for game in games} == {210, 214, 230, 250}  # type: ignore[index]


def test_a_wrapped_game_can_be_made_again_from_its_spec() -> None:
    env = wrap_atari(gym.make(GAME), crop=FIELD, n_stack=3)
    assert env.spec is not None
    again = gym.make(env.spec)
    assert layers(again)[-7:] == layers(env)[-7:]
    np.testing.assert_array_equal(env.reset(seed=3)[0], again.reset(seed=3)[0])
