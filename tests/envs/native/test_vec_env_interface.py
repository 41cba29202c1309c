"""Tests of the VecEnv interface of the native environment: arrays, call order, signals, errors."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.monitor import Monitor, load_results

from sb3_atari_course import NativeAtariVecEnv
from sb3_atari_course.wrappers import FrameStack
from tests.envs.native.comparison import FIELD, assert_equal_steps, play_both, python_side

BREAKOUT = "BreakoutNoFrameskip-v4"


@pytest.fixture
def env() -> Any:
    """Return two games of Breakout after a reset."""
    env = NativeAtariVecEnv(BREAKOUT, 2, seed=0, crop=FIELD)
    env.reset()
    yield env
    env.close()


def test_returned_arrays_are_independent(env: NativeAtariVecEnv) -> None:
    """They never change later, and changing them has no effect on later observations."""
    twin = NativeAtariVecEnv(BREAKOUT, 2, seed=0, crop=FIELD)
    twin.reset()
    rng = np.random.default_rng(0)
    held, copies = [], []
    for _ in range(120):
        actions = rng.integers(4, size=2)
        obs, _, _, infos = env.step(actions.copy())
        expected, _, _, twin_infos = twin.step(actions)
        np.testing.assert_array_equal(obs, expected)
        obs[...] = 7
        held.append(expected)
        for info, twin_info in zip(infos, twin_infos, strict=True):
            if "terminal_observation" in info:
                held.append(twin_info["terminal_observation"])
                np.testing.assert_array_equal(info["terminal_observation"], held[-1])
        copies += [array.copy() for array in held[len(copies) :]]
    assert len(held) > 120
    for array, copy in zip(held, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    twin.close()


def test_unreferenced_arrays_are_reused(env: NativeAtariVecEnv) -> None:
    addresses = {env.step(np.zeros(2, int))[0].ctypes.data for _ in range(20)}
    assert len(addresses) <= 4


@pytest.mark.timeout(60)
def test_emulators_run_before_step_wait(env: NativeAtariVecEnv) -> None:
    env.step_async(np.zeros(2, int))
    assert env._batches._pending is not None
    while not all(future.done() for future in env._batches._pending[1]):
        time.sleep(0.001)
    env.step_wait()


class TestCallOrder:
    def test_rejects_calls_out_of_order(self, env: NativeAtariVecEnv) -> None:
        with pytest.raises(ValueError, match="step_async"):
            env.step_wait()
        env.step_async(np.zeros(2, int))
        with pytest.raises(ValueError, match="twice"):
            env.step_async(np.zeros(2, int))
        assert env.step_wait()[3][0]["frame_number"] > 0
        with pytest.raises(ValueError, match="reset"):
            NativeAtariVecEnv(BREAKOUT).step(np.zeros(1, int))

    def test_reset_discards_a_running_step(self) -> None:
        native = NativeAtariVecEnv(BREAKOUT, 2, noop_max=0, fire=False, crop=FIELD)
        python = python_side("Breakout", 2, crop=FIELD)
        native.reset()
        native.step_async(np.ones(2, int))
        np.testing.assert_array_equal(native.reset(), python.reset())
        for pair in play_both(native, python, 20):
            np.testing.assert_array_equal(pair.native[0], pair.python[0])
        native.close()

    def test_rejects_calls_after_close(self, env: NativeAtariVecEnv) -> None:
        env.step_async(np.zeros(2, int))
        env.close()
        env.close()
        for call in (env.reset, env.step_wait, lambda: env.step(np.zeros(2, int))):
            with pytest.raises(ValueError, match="closed"):
                call()

    def test_close_stops_the_threads(self) -> None:
        before = set(threading.enumerate())  # those of other tests may end in the meantime
        env = NativeAtariVecEnv(BREAKOUT, 4, crop=FIELD, n_threads=2)
        env.reset()
        own = set(threading.enumerate()) - before
        assert len(own) == 2
        env.close()
        assert not any(thread.is_alive() for thread in own)


@pytest.mark.timeout(60)
@pytest.mark.skipif(not hasattr(signal, "SIGINT"), reason="needs signals")
def test_environment_is_usable_after_an_interrupt_at_any_time() -> None:
    """Ctrl-C at two random moments; after each, a reset starts the right game."""
    native = NativeAtariVecEnv(BREAKOUT, 4, noop_max=0, fire=False, crop=FIELD)
    python = python_side("Breakout", 4, crop=FIELD)
    rng = np.random.default_rng(0)
    for _ in range(2):
        native.reset()
        delay = float(rng.uniform(0.001, 0.02))
        timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012  # at an unknown line
            timer.start()
            while True:
                native.step(rng.integers(4, size=4))
        timer.join()
        native.seed(0)  # frame numbers start over, as on the other side
        python.seed(0)
        np.testing.assert_array_equal(native.reset(), python.reset())
        for pair in play_both(native, python, 3):
            assert_equal_steps(pair)
    native.close()


def test_requires_a_reset_after_an_interrupt_in_step_async(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env = NativeAtariVecEnv(BREAKOUT, 2, seed=0)
    env.reset()

    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(env._batches, "submit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            env.step_async(np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="reset"):
        env.step_async(np.zeros(2, np.int64))
    env.reset()
    env.step(np.zeros(2, np.int64))
    env.close()


def test_warns_about_reset_options(env: NativeAtariVecEnv) -> None:
    env.set_options({"mode": 3})
    with pytest.warns(UserWarning, match="'mode': 3"):
        env.reset()
    env.reset()  # they applied to that reset only


def test_flags_may_be_numpy_bools() -> None:
    flags = dict.fromkeys(["max_pool", "fire", "clip_reward", "monitor_append"], np.False_)
    env = NativeAtariVecEnv(BREAKOUT, 1, full_action_space=np.True_, **flags)  # type: ignore[arg-type]
    assert env.action_space.n == 18  # type: ignore[attr-defined]
    assert env.fire_action is None
    env.close()


def test_reset_infos_after_a_game_are_those_of_the_next_one() -> None:
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


class TestInvalidActions:
    @pytest.mark.timeout(60)
    @pytest.mark.parametrize(
        ("actions", "error", "message"),
        [
            (np.array([0, 4]), ValueError, "action 4 of game 1"),
            (np.array([-1, 0]), ValueError, "action -1 of game 0"),
            (np.array([0, 2**40]), ValueError, "game 1"),
            (np.array([[0], [0]]), ValueError, r"\(2, 1\)"),
            (np.array([True, False]), TypeError, "bool"),
            (["NOOP", "FIRE"], TypeError, "NOOP"),
        ],
    )
    def test_are_rejected_and_the_games_continue(
        self, env: NativeAtariVecEnv, actions: Any, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            env.step(actions)
        before = env.reset_infos[0]["frame_number"]
        assert env.step(np.zeros(2, np.uint8))[3][0]["frame_number"] == before + 4


class TestFire:
    @pytest.mark.parametrize("is_terminal", [True, False])
    def test_is_the_first_action_of_each_life(self, is_terminal: bool) -> None:
        """Also if life loss does not end the episode."""
        env = NativeAtariVecEnv(BREAKOUT, 1, terminal_on_life_loss=is_terminal, seed=0)
        env.reset()
        lives, starts, n_fired = 5, True, 0
        for _ in range(150):
            actions = np.array([3])
            env.step_async(actions)
            assert (actions[0] == 1) == starts
            n_fired += int(starts)
            _, _, dones, infos = env.step_wait()
            starts = dones[0] or infos[0]["lives"] < lives
            lives = env.reset_infos[0]["lives"] if dones[0] else infos[0]["lives"]
        assert n_fired > 3
        env.close()

    def test_is_repeated_if_it_loses_a_life(self) -> None:
        """Held for 200 frames, FIRE loses two lives of Breakout."""
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

    @pytest.mark.parametrize(("game", "fire"), [("Breakout", False), ("MsPacman", True)])
    def test_is_not_pressed_if_turned_off_or_missing(self, game: str, fire: bool) -> None:
        env = NativeAtariVecEnv(f"{game}NoFrameskip-v4", 2, fire=fire)
        env.reset()
        actions = np.full(2, 3)
        env.step(actions)
        assert actions.tolist() == [3, 3]

    def test_is_not_written_into_lists_or_read_only_arrays(self, env: NativeAtariVecEnv) -> None:
        actions = np.full(2, 3)
        actions.flags.writeable = False
        env.step(actions)
        assert actions.tolist() == [3, 3]
        env.reset()
        given: Any = [3, 3]
        env.step(given)
        assert given == [3, 3]


def test_monitor_files_equal_the_infos(tmp_path: Path) -> None:
    env = NativeAtariVecEnv(BREAKOUT, 2, seed=0, monitor_dir=tmp_path / "new")
    env.reset()
    rng = np.random.default_rng(0)
    episodes = []
    for _ in range(400):
        for info in env.step(rng.integers(4, size=2))[3]:
            if "episode" in info:
                episodes.append(info["episode"])
    env.close()
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "0.monitor.csv",
        "1.monitor.csv",
    ]
    games = load_results(str(tmp_path / "new"))
    assert len(games) == len(episodes) >= 2
    assert sorted(games["r"]) == sorted(episode["r"] for episode in episodes)
    assert sorted(games["l"]) == sorted(episode["l"] for episode in episodes)
    assert all(0 < episode["t"] < 60 for episode in episodes)


class TestAttributes:
    def test_used_by_sb3_are_available(self, env: NativeAtariVecEnv) -> None:
        assert env.get_attr("spec")[1].id == BREAKOUT
        assert env.get_attr("render_mode", indices=0) == [None]
        assert env.env_method("get_action_meanings") == [["NOOP", "FIRE", "RIGHT", "LEFT"]] * 2
        assert env.env_is_wrapped(Monitor) == [True, True]
        assert env.env_is_wrapped(FrameStack, indices=[1]) == [False]

    def test_others_are_rejected(self, env: NativeAtariVecEnv) -> None:
        for call in (
            lambda: env.get_attr("ale"),
            lambda: env.set_attr("frame_skip", 2),
            lambda: env.env_method("render"),
        ):
            with pytest.raises(AttributeError, match=r"ale|frame_skip=2|render"):
                call()

    def test_render_tiles_the_newest_frames(self) -> None:
        env = NativeAtariVecEnv(BREAKOUT, 2, seed=0, crop=FIELD, render_mode="rgb_array")
        newest = env.reset()[:, -1]
        images = env.get_images()
        for frame, image in zip(newest, images, strict=True):
            assert image is not None
            assert image.shape == (84, 84, 3)
            assert (image == frame[..., None]).all()
        tiled = env.render()
        assert tiled is not None
        assert tiled.shape == (168, 84, 3)
        assert newest.any()
        env.close()


@pytest.mark.parametrize(
    ("env_id", "settings", "error", "named"),
    [
        ("CartPole-v1", {}, ValueError, "CartPole-v1"),
        (BREAKOUT, {"crop": (0, 211, 0, 160)}, ValueError, "210 rows"),
        (BREAKOUT, {"shape": (84, 0)}, ValueError, "shape"),
        (BREAKOUT, {"n_envs": 0}, ValueError, "n_envs .* 0"),
        (BREAKOUT, {"n_stack": 0}, ValueError, "n_stack .* 0"),
        (BREAKOUT, {"n_threads": 0}, ValueError, "n_threads .* 0"),
        (BREAKOUT, {"noop_max": -1}, ValueError, "noop_max .* -1"),
        (BREAKOUT, {"frame_skip": 0}, ValueError, "frame_skip .* 0"),
        (BREAKOUT, {"padding": "mirror"}, ValueError, "'mirror'"),
        (BREAKOUT, {"mode": 4}, ValueError, "mode=4"),
        (BREAKOUT, {"obs_type": "rgb"}, ValueError, "obs_type='rgb'"),
        (BREAKOUT, {"render_mode": "human"}, ValueError, "'human'"),
        (BREAKOUT, {"repeat_action_probability": 1.5}, ValueError, "1.5"),
        (BREAKOUT, {"stack_num": 4}, TypeError, r"stack_num=4: .* n_stack\?"),
        (BREAKOUT, {"fire": "no"}, TypeError, "fire .*'no'"),
        (BREAKOUT, {"max_pool": None}, TypeError, "max_pool .*None"),
        (BREAKOUT, {"full_action_space": "no"}, TypeError, "full_action_space .*'no'"),
        (BREAKOUT, {"frameskip": "4"}, TypeError, "frameskip .*'4'"),
        (BREAKOUT, {"seed": -1}, ValueError, "seed .* -1"),
        ("ALE/Breakout-v5", {}, ValueError, "4 frames .*frame_skip=4"),
        ("Breakout-v4", {"frame_skip": 1}, ValueError, r"\(2, 5\)"),
    ],
)
def test_rejects_invalid_settings(
    env_id: str, settings: dict[str, Any], error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match=named) as caught:
        NativeAtariVecEnv(env_id, **settings)
    assert "\n" not in str(caught.value)
