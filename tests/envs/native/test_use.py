"""What a caller may do with a native environment: hold, write, interrupt, close, get it wrong."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.monitor import Monitor, load_results

from sb3_atari_course import NativeAtariVecEnv
from sb3_atari_course.wrappers import FrameStack
from tests.envs.native.twins import FIELD, assert_equal_steps, play_both, python_side

BREAKOUT = "BreakoutNoFrameskip-v4"


@pytest.fixture
def env() -> Any:
    """Return two games of Breakout, reset."""
    env = NativeAtariVecEnv(BREAKOUT, 2, seed=0, crop=FIELD)
    env.reset()
    yield env
    env.close()


def test_what_was_returned_is_never_changed(env: NativeAtariVecEnv) -> None:
    rng = np.random.default_rng(0)
    held, copies = [], []
    for _ in range(150):
        obs, _, _, infos = env.step(rng.integers(4, size=2))
        for array in [obs, *(info.get("terminal_observation") for info in infos)]:
            if array is not None:
                held.append(array)
                copies.append(array.copy())
    assert len(held) > 150
    for array, copy in zip(held, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_what_a_caller_writes_does_not_come_back(env: NativeAtariVecEnv) -> None:
    twin = NativeAtariVecEnv(BREAKOUT, 2, seed=0, crop=FIELD)
    expected = twin.reset()
    rng = np.random.default_rng(0)
    for _ in range(60):
        actions = rng.integers(4, size=2)
        obs, _, dones, infos = env.step(actions.copy())
        expected, _, _, twin_infos = twin.step(actions)
        np.testing.assert_array_equal(obs, expected)
        obs[...] = 7
        for i in np.flatnonzero(dones):
            last, twin_last = (info[i]["terminal_observation"] for info in (infos, twin_infos))
            np.testing.assert_array_equal(last, twin_last)
    twin.close()


def test_memory_is_used_again_once_nobody_holds_it(env: NativeAtariVecEnv) -> None:
    addresses = {env.step(np.zeros(2, int))[0].ctypes.data for _ in range(20)}
    assert len(addresses) <= 4


@pytest.mark.timeout(60)
def test_the_emulators_play_before_anybody_waits(env: NativeAtariVecEnv) -> None:
    env.step_async(np.zeros(2, int))
    assert env._batches._ordered is not None
    while not all(future.done() for future in env._batches._ordered[1]):
        time.sleep(0.001)
    env.step_wait()


class TestOrder:
    def test_waiting_for_nothing(self, env: NativeAtariVecEnv) -> None:
        with pytest.raises(ValueError, match=r"call step_async\(\) before step_wait"):
            env.step_wait()

    def test_stepping_twice(self, env: NativeAtariVecEnv) -> None:
        env.step_async(np.zeros(2, int))
        with pytest.raises(ValueError, match=r"step_async\(\) was called twice"):
            env.step_async(np.zeros(2, int))
        assert env.step_wait()[3][0]["frame_number"] > 0

    def test_stepping_before_the_first_reset(self) -> None:
        with pytest.raises(ValueError, match=r"call reset\(\) before"):
            NativeAtariVecEnv(BREAKOUT).step(np.zeros(1, int))

    def test_a_reset_forgets_a_step_that_is_on_its_way(self) -> None:
        native = NativeAtariVecEnv(BREAKOUT, 2, noop_max=0, fire=False, crop=FIELD)
        python = python_side("Breakout", 2, crop=FIELD)
        native.reset()
        native.step_async(np.ones(2, int))
        np.testing.assert_array_equal(native.reset(), python.reset())
        for pair in play_both(native, python, 20):
            np.testing.assert_array_equal(pair.native[0], pair.python[0])
        native.close()

    def test_after_closing(self, env: NativeAtariVecEnv) -> None:
        env.step_async(np.zeros(2, int))
        env.close()
        env.close()
        for call in (env.reset, env.step_wait, lambda: env.step(np.zeros(2, int))):
            with pytest.raises(ValueError, match="is closed: make a new one"):
                call()

    def test_threads_end_with_it(self) -> None:
        before = set(threading.enumerate())  # those of other tests may end in the meantime
        env = NativeAtariVecEnv(BREAKOUT, 4, crop=FIELD, n_threads=2)
        env.reset()
        own = set(threading.enumerate()) - before
        assert len(own) == 2
        env.close()
        assert not any(thread.is_alive() for thread in own)


@pytest.mark.timeout(60)
@pytest.mark.skipif(not hasattr(signal, "SIGINT"), reason="needs signals")
def test_an_interrupt_anywhere_leaves_a_usable_environment() -> None:
    """Ctrl-C at two random moments of playing; after each, a reset plays the right game."""
    native = NativeAtariVecEnv(BREAKOUT, 4, noop_max=0, fire=False, crop=FIELD)
    python = python_side("Breakout", 4, crop=FIELD)
    rng = np.random.default_rng(0)
    for _ in range(2):
        native.reset()
        delay = float(rng.uniform(0.001, 0.02))
        timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012  # it comes when it comes
            timer.start()
            while True:
                native.step(rng.integers(4, size=4))
        timer.join()
        native.seed(0)  # frame numbers begin anew, as on the other side
        python.seed(0)
        np.testing.assert_array_equal(native.reset(), python.reset())
        for pair in play_both(native, python, 3):
            assert_equal_steps(pair)
    native.close()


def test_an_interrupt_while_sending_asks_for_a_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    env = NativeAtariVecEnv(BREAKOUT, 2, seed=0)
    env.reset()

    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(env._batches, "order", interrupted)
        with pytest.raises(KeyboardInterrupt):
            env.step_async(np.zeros(2, np.int64))
    with pytest.raises(ValueError, match=r"no games to step: call reset\(\)"):
        env.step_async(np.zeros(2, np.int64))
    env.reset()
    env.step(np.zeros(2, np.int64))
    env.close()


def test_options_of_a_reset_are_not_dropped_silently(env: NativeAtariVecEnv) -> None:
    env.set_options({"mode": 3})
    with pytest.warns(UserWarning, match="'mode': 3"):
        env.reset()
    env.reset()  # they were for that reset only


@pytest.mark.parametrize("flag", [np.True_, np.False_])
def test_flags_may_be_numpy_bools(flag: Any) -> None:
    env = NativeAtariVecEnv(
        BREAKOUT,
        1,
        max_pool=flag,
        terminal_on_life_loss=flag,
        fire=flag,
        clip_reward=flag,
        monitor_append=flag,
        full_action_space=flag,
    )
    assert env.action_space.n == (18 if flag else 4)  # type: ignore[attr-defined]
    assert (env.fire_action is not None) == bool(flag)
    env.close()


def test_after_a_game_reset_infos_are_those_of_the_next_one() -> None:
    env = NativeAtariVecEnv(BREAKOUT, 1, seed=0, noop_max=0, max_num_frames_per_episode=40)
    env.reset()
    for game in (1, 2):
        for _ in range(10):
            _, _, dones, infos = env.step(np.zeros(1, np.int64))
        assert dones.all()
        assert infos[0]["episode_frame_number"] == 40
        after = env.reset_infos[0]
        assert (after["episode_frame_number"], after["frame_number"]) == (0, 40 * game)
    env.close()


class TestWrongActions:
    @pytest.mark.timeout(60)
    @pytest.mark.parametrize(
        ("actions", "error", "message"),
        [
            (np.array([0, 4]), ValueError, r"action 4 of game 1 is outside .* Discrete\(4\)"),
            (np.array([-1, 0]), ValueError, "action -1 of game 0 is outside"),
            (np.array([0, 2**40]), ValueError, "outside"),
            (np.array([0]), ValueError, r"shape \(2,\), one for each game, got \(1,\)"),
            (np.array([[0], [0]]), ValueError, r"got \(2, 1\)"),
            (1, ValueError, r"got \(\)"),
            (np.array([0.0, 1.0]), TypeError, "must be integers, got float64"),
            (np.array([True, False]), TypeError, "must be integers, got bool"),
            (["NOOP", "FIRE"], TypeError, "must be integers"),
        ],
    )
    def test_are_refused_and_the_games_go_on(
        self, env: NativeAtariVecEnv, actions: Any, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            env.step(actions)
        before = env.reset_infos[0]["frame_number"]
        assert env.step(np.zeros(2, np.uint8))[3][0]["frame_number"] == before + 4


class TestFire:
    def test_is_written_where_a_life_begins(self, env: NativeAtariVecEnv) -> None:
        begins = np.ones(2, bool)
        n_lost = 0
        for _ in range(200):
            actions = np.full(2, 3)
            env.step_async(actions)
            np.testing.assert_array_equal(actions, np.where(begins, 1, 3))
            begins = env.step_wait()[2]
            n_lost += int(begins.sum())
        assert n_lost > 4

    def test_after_a_lost_life_that_ends_no_episode_too(self) -> None:
        env = NativeAtariVecEnv(BREAKOUT, 1, terminal_on_life_loss=False, seed=0)
        env.reset()
        lives, begins, n_fired = 5, True, 0
        for _ in range(150):
            actions = np.array([3])
            env.step_async(actions)
            assert (actions[0] == 1) == begins
            n_fired += int(begins)
            _, _, dones, infos = env.step_wait()
            begins = dones[0] or infos[0]["lives"] < lives
            lives = env.reset_infos[0]["lives"] if dones[0] else infos[0]["lives"]
        assert n_fired > 3
        env.close()

    def test_one_that_loses_a_life_is_followed_by_another(self) -> None:
        """Held for 200 frames FIRE loses two of Breakout."""
        env = NativeAtariVecEnv(
            BREAKOUT, 1, terminal_on_life_loss=False, frame_skip=200, noop_max=0, seed=0
        )
        env.reset()
        lives = []
        for _ in range(2):
            actions = np.array([3])
            env.step_async(actions)
            assert actions.tolist() == [1]
            lives.append(env.step_wait()[3][0]["lives"])
        assert lives == [3, 1]
        env.close()

    def test_can_be_left_to_the_agent(self) -> None:
        env = NativeAtariVecEnv(BREAKOUT, 2, fire=False)
        env.reset()
        actions = np.full(2, 3)
        env.step(actions)
        assert actions.tolist() == [3, 3]

    def test_games_without_fire_keep_their_actions(self) -> None:
        env = NativeAtariVecEnv("MsPacmanNoFrameskip-v4", 2)
        env.reset()
        actions = np.full(2, 3)
        env.step(actions)
        assert actions.tolist() == [3, 3]

    def test_a_list_or_a_read_only_array_stays_as_it_is(self, env: NativeAtariVecEnv) -> None:
        actions = np.full(2, 3)
        actions.flags.writeable = False
        env.step(actions)
        assert actions.tolist() == [3, 3]
        env.reset()
        given: Any = [3, 3]
        env.step(given)
        assert given == [3, 3]


class TestMonitor:
    def test_sb3_finds_it(self, env: NativeAtariVecEnv) -> None:
        assert env.env_is_wrapped(Monitor) == [True, True]
        assert env.env_is_wrapped(FrameStack, indices=[1]) == [False]

    def test_its_files_say_what_the_infos_say(self, tmp_path: Path) -> None:
        env = NativeAtariVecEnv(BREAKOUT, 2, seed=0, monitor_dir=tmp_path / "new")
        env.reset()
        rng = np.random.default_rng(0)
        said = []
        for _ in range(400):
            for info in env.step(rng.integers(4, size=2))[3]:
                if "episode" in info:
                    said.append(info["episode"])
        env.close()
        assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
            "0.monitor.csv",
            "1.monitor.csv",
        ]
        games = load_results(str(tmp_path / "new"))
        assert len(games) == len(said) >= 2
        assert sorted(games["r"]) == sorted(episode["r"] for episode in said)
        assert sorted(games["l"]) == sorted(episode["l"] for episode in said)
        assert all(0 < episode["t"] < 60 for episode in said)


class TestAttributes:
    def test_those_that_sb3_asks_for(self, env: NativeAtariVecEnv) -> None:
        assert env.get_attr("spec")[1].id == BREAKOUT
        assert env.get_attr("render_mode", indices=0) == [None]
        assert env.env_method("get_action_meanings") == [["NOOP", "FIRE", "RIGHT", "LEFT"]] * 2
        assert not env.has_attr("ale")

    def test_others_are_refused(self, env: NativeAtariVecEnv) -> None:
        for call in (
            lambda: env.get_attr("ale"),
            lambda: env.set_attr("frame_skip", 2),
            lambda: env.env_method("render"),
        ):
            with pytest.raises(AttributeError, match=r"are no Python objects: '?[a-z]"):
                call()

    def test_the_newest_pictures_can_be_shown(self) -> None:
        env = NativeAtariVecEnv(BREAKOUT, 2, seed=0, crop=FIELD, render_mode="rgb_array")
        newest = env.reset()[:, -1]
        images = env.get_images()
        for picture, image in zip(newest, images, strict=True):
            assert image is not None
            assert image.shape == (84, 84, 3)
            assert (image == picture[..., None]).all()
        tiled = env.render()
        assert tiled is not None
        assert tiled.shape == (168, 84, 3)
        assert newest.any()
        env.close()


@pytest.mark.parametrize(
    ("env_id", "settings", "error", "message"),
    [
        ("BrekoutNoFrameskip-v4", {}, ValueError, "unknown environment .* did you mean 'Breakout"),
        ("CartPole-v1", {}, ValueError, "'CartPole-v1' is not an Atari game.*make_vec_env"),
        (BREAKOUT, {"crop": (0, 211, 0, 160)}, ValueError, "leaves the screen of 210 rows"),
        (BREAKOUT, {"crop": (0, 0, 0, 160)}, ValueError, "is empty"),
        (BREAKOUT, {"shape": (84, 0)}, ValueError, "shape"),
        (BREAKOUT, {"n_envs": 0}, ValueError, "n_envs must be at least 1, got 0"),
        (BREAKOUT, {"n_stack": 0}, ValueError, "n_stack must be at least 1, got 0"),
        (BREAKOUT, {"n_threads": 0}, ValueError, "n_threads must be at least 1, got 0"),
        (BREAKOUT, {"noop_max": -1}, ValueError, "noop_max must be at least 0, got -1"),
        (BREAKOUT, {"frame_skip": 0}, ValueError, "frame_skip must be at least 1, got 0"),
        (BREAKOUT, {"padding": "mirror"}, ValueError, "'repeat' or 'zero', got 'mirror'"),
        (BREAKOUT, {"obs_type": "rgb"}, ValueError, "obs_type='rgb': .*grey.*native=False"),
        (BREAKOUT, {"mode": 4}, ValueError, "mode=4: .* default mode"),
        (BREAKOUT, {"difficulty": 1}, ValueError, "difficulty=1: .* default difficulty"),
        (BREAKOUT, {"continuous": True}, ValueError, "continuous=True"),
        (BREAKOUT, {"sound_obs": True}, ValueError, "sound_obs=True"),
        (BREAKOUT, {"render_mode": "human"}, ValueError, "'rgb_array', got 'human'"),
        (BREAKOUT, {"repeat_action_probability": 1.5}, ValueError, "from 0 to 1, got 1.5"),
        (BREAKOUT, {"fire_on_reset": False}, TypeError, r"fire_on_reset=False: .* fire\?"),
        (BREAKOUT, {"crops": (0, 1, 0, 1)}, TypeError, r"crops=\(0, 1, 0, 1\): .* crop\?.* shape,"),
        (BREAKOUT, {"screen_size": 84}, TypeError, r"screen_size=84: .* shape\?"),
        (BREAKOUT, {"stack_num": 4}, TypeError, r"stack_num=4: .* n_stack\?"),
        (BREAKOUT, {"num_envs": 4}, TypeError, r"num_envs=4: .* n_envs\?"),
        (BREAKOUT, {"nonsense": 4}, TypeError, r"nonsense=4: It takes env_id, n_envs, seed,"),
        (BREAKOUT, {"fire": "no"}, TypeError, "fire .*got 'no'"),
        (BREAKOUT, {"clip_reward": 0}, TypeError, "clip_reward .*got 0"),
        (BREAKOUT, {"terminal_on_life_loss": "no"}, TypeError, "terminal_on_.*got 'no'"),
        (BREAKOUT, {"max_pool": None}, TypeError, "max_pool .*got None"),
        (BREAKOUT, {"monitor_append": "yes"}, TypeError, "monitor_append .*got 'yes'"),
        (BREAKOUT, {"full_action_space": "no"}, TypeError, "full_action_space .*got 'no'"),
        (BREAKOUT, {"frameskip": "4"}, TypeError, "frameskip .*got '4'"),
        (BREAKOUT, {"seed": "a"}, TypeError, "seed must be an integer of at least 0, got 'a'"),
        (BREAKOUT, {"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        (
            BREAKOUT,
            {"framskip": 1},
            TypeError,
            r"framskip=1: did you mean frameskip\?",
        ),
        ("ALE/Breakout-v5", {}, ValueError, r"4 frames a step already.*skip twice.*frameskip=1"),
        ("Breakout-v4", {"frame_skip": 1}, ValueError, r"\(2, 5\) frames, a random number"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(
    env_id: str, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        NativeAtariVecEnv(env_id, **settings)
    assert "\n" not in str(caught.value)


def test_the_sticky_actions_of_an_id_are_kept() -> None:
    spec = gym.spec("ALE/Breakout-v5")
    assert spec.kwargs["repeat_action_probability"] == 0.25
    played = []
    for sticky in ({}, {"repeat_action_probability": 0.0}):
        env = NativeAtariVecEnv("ALE/Breakout-v5", 4, seed=0, frameskip=1, noop_max=0, **sticky)
        env.reset()
        obs = [env.step(np.full(4, 2 + step % 2))[0] for step in range(20)]
        played.append(any((pictures != pictures[0]).any() for pictures in obs))
        env.close()
    assert played == [True, False]
