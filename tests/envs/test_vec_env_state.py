"""Tests of saving and restoring vectorized environments."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import gymnasium.wrappers as gw
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecEnvWrapper,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)

from sb3_atari_course import NativeAtariVecEnv
from sb3_atari_course.envs import wrap_atari
from sb3_atari_course.envs.env_state import EnvStateError, SavableEnv
from sb3_atari_course.envs.vec_env_state import (
    monitor_files,
    read_vec_env,
    unsaved_envs,
    write_vec_env,
)
from tests.envs.rollouts import roundtrip, same


def cart() -> gym.Env[Any, Any]:
    return Monitor(gym.make("CartPole-v1", max_episode_steps=25))


def cart_dict() -> gym.Env[Any, Any]:
    env = cart()
    space = spaces.Dict({"obs": env.observation_space, "negative": env.observation_space})
    return gw.TransformObservation(env, lambda obs: {"obs": obs, "negative": -obs}, space)


def bare() -> gym.Env[Any, Any]:
    return gym.make("CartPole-v1", max_episode_steps=25)


class UnknownWrapper(gym.Wrapper[Any, Any, Any, Any]):
    """Wrapper whose state is unknown."""


def breakout() -> gym.Env[Any, Any]:
    env = gym.make("BreakoutNoFrameskip-v4", max_num_frames_per_episode=400)
    return wrap_atari(Monitor(env), shape=(20, 20))


def savable(make: Callable[[], gym.Env[Any, Any]]) -> gym.Env[Any, Any]:
    return SavableEnv(make())


def monitor_outside() -> gym.Env[Any, Any]:
    return Monitor(SavableEnv(bare()))


def two(make: Callable[[], gym.Env[Any, Any]]) -> DummyVecEnv:
    return DummyVecEnv([make, make])


class UnknownVecWrapper(VecEnvWrapper):
    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        return self.venv.step_wait()


def play(venv: VecEnv, n_steps: int, *, seed: int) -> tuple[list[Any], int]:
    """Return all that some random steps return, and the number of episodes that end."""
    rng = np.random.default_rng(seed)
    assert isinstance(venv.action_space, spaces.Discrete)
    seen, n_ends = [], 0
    for _ in range(n_steps):
        obs, rewards, dones, infos = venv.step(
            rng.integers(venv.action_space.n, size=venv.num_envs)
        )
        known = [
            {
                **{key: info[key] for key in info if key != "episode"},
                **{key: info["episode"][key] for key in "rl" if "episode" in info},
            }
            for info in infos
        ]
        seen.append((rewards.astype(np.float32), dones.copy(), obs_copy(obs), known))
        n_ends += int(dones.sum())
    return seen, n_ends


def obs_copy(obs: Any) -> Any:
    return {key: obs[key].copy() for key in obs} if isinstance(obs, dict) else obs.copy()


MAKERS: dict[str, Callable[[], VecEnv]] = {
    "dummy": lambda: two(cart),
    "stacked frames": lambda: VecTransposeImage(VecFrameStack(two(breakout), 4)),
    "normalized": lambda: VecNormalize(two(cart)),
    "stacked, monitored, normalized": lambda: VecNormalize(
        VecMonitor(VecFrameStack(two(lambda: gym.make("CartPole-v1")), 3))
    ),
    "dicts": lambda: VecNormalize(VecFrameStack(two(cart_dict), 2), norm_obs_keys=["obs"]),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("n_steps", [0, 30])
def test_restored_environments_continue_identically(name: str, n_steps: int) -> None:
    venv, fresh = MAKERS[name](), MAKERS[name]()
    venv.seed(1)
    venv.reset()
    play(venv, n_steps, seed=1)
    if n_steps:  # or never reset
        fresh.seed(2)
        fresh.reset()
        play(fresh, 7, seed=4)
    state = read_vec_env(venv)
    assert unsaved_envs(state) == {}
    assert write_vec_env(fresh, roundtrip(state), fresh_seed=9) is None
    if isinstance(venv, VecNormalize) and isinstance(fresh, VecNormalize):
        assert same(venv.get_original_obs(), fresh.get_original_obs())
    seen, n_ends = play(venv, 90, seed=2)
    assert same((seen, n_ends), play(fresh, 90, seed=2))
    assert n_ends > 2
    assert same(read_vec_env(venv), read_vec_env(fresh))


@pytest.mark.process
def test_environments_in_worker_processes_continue_identically() -> None:
    makers = [partial(savable, breakout), partial(savable, breakout)]
    venv = VecFrameStack(SubprocVecEnv(makers, start_method="forkserver"), 2)
    local = VecFrameStack(DummyVecEnv([breakout, breakout]), 2)
    try:
        venv.seed(1)
        venv.reset()
        play(venv, 40, seed=1)
        for process in venv.unwrapped.processes:  # type: ignore[attr-defined]
            os.kill(process.pid, signal.SIGINT)  # as Ctrl-C does
        state = roundtrip(read_vec_env(venv))
        write_vec_env(local, state, fresh_seed=9)  # states are interchangeable
        seen, n_ends = play(venv, 120, seed=2)
        assert same((seen, n_ends), play(local, 120, seed=2))
        assert n_ends >= 2
        assert write_vec_env(venv, state, fresh_seed=9) is None
        assert same((seen, n_ends), play(venv, 120, seed=2))
        state["envs"][1]["state"] = state["envs"][1]["state"][1:]
        with pytest.raises(EnvStateError, match="environment 1"):
            write_vec_env(venv, state, fresh_seed=9)
    finally:
        venv.close()


@pytest.mark.process
def test_names_savable_env_if_workers_lack_it() -> None:
    for maker in (cart, monitor_outside):  # missing, and not the outermost
        venv = SubprocVecEnv([maker], start_method="forkserver")
        try:
            reasons = unsaved_envs(read_vec_env(venv))
            assert "checkpoints.SavableEnv" in reasons[0]
            saved = read_vec_env(DummyVecEnv([cart]))
            with pytest.raises(EnvStateError, match="SavableEnv"):
                write_vec_env(venv, saved, fresh_seed=0)
        finally:
            venv.close()


def test_resets_all_environments_if_one_cannot_be_saved() -> None:
    def make() -> VecEnv:
        return VecNormalize(
            VecMonitor(VecFrameStack(DummyVecEnv([bare, lambda: UnknownWrapper(bare()), bare]), 2))
        )

    venv, fresh = make(), make()
    venv.seed(1)
    venv.reset()
    play(venv, 33, seed=1)
    state = roundtrip(read_vec_env(venv))
    assert list(unsaved_envs(state)) == [1]
    assert "UnknownWrapper" in unsaved_envs(state)[1]
    new = write_vec_env(fresh, state, fresh_seed=9)
    assert isinstance(fresh, VecNormalize)
    for obs, seed in zip(fresh.unnormalize_obs(new), (9, 10, 11), strict=True):
        expected = bare().reset(seed=seed)[0]
        np.testing.assert_allclose(obs, [0, 0, 0, 0, *expected], atol=1e-2)
    assert same(fresh.obs_rms.mean, venv.obs_rms.mean)  # type: ignore[union-attr]
    seen, _ = play(fresh, 60, seed=2)
    for i in range(3):
        lengths = [infos[i]["l"] for *_, infos in seen if "l" in infos[i]]
        ends = [t + 1 for t, (_, dones, _, _) in enumerate(seen) if dones[i]]
        assert lengths[0] == ends[0]  # counted from the reset


def test_resets_native_environments() -> None:
    def make() -> VecEnv:
        return NativeAtariVecEnv("BreakoutNoFrameskip-v4", 2, n_threads=1)

    venv, fresh = make(), make()
    venv.reset()
    state = roundtrip(read_vec_env(venv))
    assert list(unsaved_envs(state)) == [0, 1]
    new = write_vec_env(fresh, state, fresh_seed=9)
    assert new is not None
    assert new.shape == (2, 4, 84, 84)
    fresh.step(np.zeros(2, np.int64))
    with pytest.raises(EnvStateError, match="NativeAtariVecEnv"):
        write_vec_env(two(breakout), state, fresh_seed=0)
    venv.close()
    fresh.close()


def test_names_an_unknown_vec_env_wrapper() -> None:
    venv = VecNormalize(UnknownVecWrapper(two(cart)))
    venv.reset()
    play(venv, 9, seed=1)
    state = roundtrip(read_vec_env(venv))
    assert all(
        "test_vec_env_state.UnknownVecWrapper" in why for why in unsaved_envs(state).values()
    )
    fresh = VecNormalize(UnknownVecWrapper(two(cart)))
    assert write_vec_env(fresh, state, fresh_seed=9) is not None
    assert same(fresh.ret_rms.count, venv.ret_rms.count)  # statistics are restored


class CountingVec(UnknownVecWrapper):
    """Third-party VecEnvWrapper with methods for its state."""

    n_steps = 0

    def step_wait(self) -> Any:
        self.n_steps += 1
        return self.venv.step_wait()

    def checkpoint_state(self) -> Any:
        return {"n_steps": self.n_steps}

    def restore_checkpoint_state(self, state: Any) -> None:
        self.n_steps = state["n_steps"]


def test_restores_a_vec_env_wrapper_with_methods_for_its_state() -> None:
    venv, fresh = CountingVec(two(cart)), CountingVec(two(cart))
    venv.reset()
    play(venv, 9, seed=1)
    state = roundtrip(read_vec_env(venv))
    assert write_vec_env(fresh, state, fresh_seed=9) is None
    assert fresh.n_steps == 9


def test_rejects_other_environments() -> None:
    state = read_vec_env(two(cart))
    with pytest.raises(EnvStateError, match="2 environments"):
        write_vec_env(DummyVecEnv([cart]), state, fresh_seed=0)
    with pytest.raises(EnvStateError, match="VecNormalize < DummyVecEnv"):
        write_vec_env(VecNormalize(two(cart)), state, fresh_seed=0)
    with pytest.raises(EnvStateError, match="Monitor < "):
        write_vec_env(two(breakout), state, fresh_seed=0)


def test_restores_seeds_options_and_the_action_space_generator() -> None:
    venv, fresh = two(cart), two(cart)
    venv.seed(5)
    venv.set_options({"low": -0.01, "high": 0.01})
    venv.action_space.seed(3)
    write_vec_env(fresh, roundtrip(read_vec_env(venv)), fresh_seed=9)
    assert same(venv.reset(), fresh.reset())
    for _ in range(9):
        assert venv.action_space.sample() == fresh.action_space.sample()


def test_savable_env_can_be_named_in_a_yml_file(tmp_path: Path) -> None:
    from rl_zoo3.utils import get_wrapper_class

    wrapper = get_wrapper_class({"env_wrapper": ["sb3_atari_course.checkpoints.SavableEnv"]})
    venv = make_vec_env("CartPole-v1", 2, wrapper_class=wrapper, monitor_dir=str(tmp_path / "run"))
    assert isinstance(venv, DummyVecEnv)
    assert type(venv.envs[0]) is SavableEnv
    names = [os.path.basename(str(path)) for path in monitor_files(venv)]
    assert names == ["0.monitor.csv", "1.monitor.csv"]
    assert monitor_files(two(cart)) == [None, None]
    venv.close()
