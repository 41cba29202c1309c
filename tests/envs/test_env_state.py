"""Tests of saving and restoring an environment with its wrappers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import gymnasium.wrappers as gw
import numpy as np
import pytest
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.monitor import Monitor

from sb3_atari_course import wrappers as ours
from sb3_atari_course.envs import wrap_atari
from sb3_atari_course.envs.emulator_state import UnsavableEnvError
from sb3_atari_course.envs.env_state import (
    FIELDS,
    EnvStateError,
    SavableEnv,
    class_name,
    monitor_file,
    read_env,
    write_env,
)
from sb3_atari_course.wrappers.timing import layers
from tests.envs.rollouts import play, roundtrip, same

Env = gym.Env[Any, Any]


def short(env_id: str, **kwargs: Any) -> Env:
    return gym.make(env_id, max_episode_steps=25, **kwargs)


def cart() -> Env:
    return short("CartPole-v1")


def breakout() -> Env:
    return gym.make("BreakoutNoFrameskip-v4", max_num_frames_per_episode=120)


class WithFields(gym.Wrapper[Any, Any, Any, Any]):
    """Third-party wrapper with state: every third step is a success."""

    n_steps = 0
    checkpoint_fields: ClassVar[tuple[str, ...]] = ("n_steps",)

    def step(self, action: Any) -> Any:
        self.n_steps += 1
        *step, info = super().step(action)
        return (*step, {**info, "is_success": self.n_steps % 3 != 0})


class WithMethods(WithFields):
    """The same, saved by methods instead of fields."""

    def checkpoint_state(self) -> Any:
        return {"n_steps": self.n_steps}

    def restore_checkpoint_state(self, state: Any) -> None:
        self.n_steps = state["n_steps"]


class UnknownWrapper(gym.Wrapper[Any, Any, Any, Any]):
    """Wrapper whose state is unknown."""


def zoo_limit(env: Env) -> Env:
    from rl_zoo3.gym_patches import PatchedTimeLimit

    return PatchedTimeLimit(env, 20)


def gymnasium_limit(env: Env) -> Env:
    limits = (gw.TimeLimit, *gw.TimeLimit.__mro__)  # RL Zoo's may have replaced it
    return next(cls for cls in limits if "zoo" not in cls.__module__)(env, 20)


#: Together they cover every known layer.
MAKERS: dict[str, Callable[[], Env]] = {
    "Acrobot": lambda: short("Acrobot-v1"),
    "MountainCar": lambda: short("MountainCar-v0"),
    "CliffWalking": lambda: short("CliffWalking-v1", is_slippery=True),
    "FrozenLake": lambda: gym.make("FrozenLake-v1", desc=None),
    "Taxi": lambda: short("Taxi-v4", is_rainy=True, fickle_passenger=True),
    "bare": lambda: cart().unwrapped,
    "ours": lambda: wrap_atari(Monitor(breakout()), n_stack=4, crop=(30, 195, 5, 155)),
    "SB3's": lambda: AtariWrapper(Monitor(breakout()), action_repeat_probability=0.25),
    "stateless": lambda: gw.ClipReward(
        gw.RescaleObservation(
            gw.ClipAction(gw.RescaleAction(short("Pendulum-v1"), -0.5, 0.5)),
            np.float32(-1),
            np.float32(1),
        ),
        -1,
        1,
    ),
    "custom fields": lambda: WithFields(cart()),
    "custom methods": lambda: WithMethods(cart()),
    "discretized": lambda: ours.DiscretizeObservations(
        ours.DiscretizeActions(short("MountainCarContinuous-v0"), n_bins=3), n_bins=7
    ),
    "zoo's limit": lambda: zoo_limit(cart().unwrapped),
    "Gymnasium's limit": lambda: gymnasium_limit(cart().unwrapped),
}

#: Attributes that are not compared: clocks, the emulator, which is saved separately, and Monitor's
#: lists, which grow during training.
NOT_SAVED = {"ale", "clock", "episode_lengths", "episode_returns", "episode_times"}


def make(name: str) -> Env:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium's about bounds and precision
        return MAKERS[name]()


def data_of(env: Env) -> list[dict[str, Any]]:
    """Return all data attributes of all layers."""
    return [
        {
            name: value
            for name, value in vars(layer).items()
            if not (name in NOT_SAVED or isinstance(value, gym.Env) or callable(value))
        }
        for layer in layers(env)
    ]


#: All of them in the middle of an episode, some before the first reset.
CASES = [*((name, 33) for name in MAKERS), ("bare", 0), ("ours", 0)]


@pytest.mark.parametrize(("name", "n_steps"), CASES)
def test_restored_environment_continues_identically(name: str, n_steps: int) -> None:
    env, fresh = make(name), make(name)
    env.reset(seed=1)
    env.action_space.seed(3)
    play(env, n_steps, seed=1)
    if n_steps:  # or never reset
        fresh.reset(seed=2)
        play(fresh, 5, seed=5)
    write_env(fresh, roundtrip(read_env(env)))
    assert same(data_of(env), data_of(fresh))
    assert env.action_space.sample() == fresh.action_space.sample()  # its generator
    seen, n_ends = play(env, 40, seed=7)
    assert same((seen, n_ends), play(fresh, 40, seed=7))
    assert n_ends > 0 or name == "bare"
    assert same(read_env(env), read_env(fresh))


def test_every_known_layer_is_covered() -> None:
    covered = {class_name(type(layer)) for name in MAKERS for layer in layers(make(name))}
    own = {class_name(cls) for cls in vars(ours).values() if isinstance(cls, type)}
    assert {*FIELDS, *own} <= covered


def test_restores_the_end_of_an_episode_before_its_reset() -> None:
    env, fresh = (wrap_atari(Monitor(gym.make("BreakoutNoFrameskip-v4"))) for _ in range(2))
    env.reset(seed=1)
    lives = []
    while 1 not in lives:
        _, _, terminated, _, info = env.step(env.action_space.sample())
        if terminated:
            lives.append(info["lives"])
            write_env(fresh, roundtrip(read_env(env)))
            assert same(env.reset(), fresh.reset())
            assert same(play(env, 5, seed=1), play(fresh, 5, seed=1))
    assert len(lives) > 2


def test_rl_zoos_time_limit_counts_as_gymnasiums() -> None:
    env, fresh = make("zoo's limit"), make("Gymnasium's limit")
    env.reset(seed=1)
    env.step(0)
    write_env(fresh, read_env(env))
    assert fresh._elapsed_steps == 1  # type: ignore[attr-defined]


class Subclass(ours.FireOnReset):
    """Subclass, which may have more state."""


def odd_info(env: Env) -> Env:
    monitor = Monitor(env)
    monitor.current_reset_info = {"why": object()}
    return monitor


@pytest.mark.parametrize(
    ("make_env", "named"),
    [
        (lambda: Monitor(UnknownWrapper(cart())), r"test_env_state\.UnknownWrapper"),
        (lambda: Subclass(breakout()), "Subclass"),
        (lambda: gw.FrameStackObservation(cart(), 4), "FrameStackObservation"),
        (lambda: gym.make("LunarLander-v3"), r"lunar_lander\.LunarLander"),
        (lambda: odd_info(cart()), "Monitor .*current_reset_info/why"),
    ],
)
def test_rejects_state_that_is_unknown_or_not_plain_data(
    make_env: Callable[[], Env], named: str
) -> None:
    with pytest.raises(UnsavableEnvError, match=named):
        read_env(make_env())


def test_rejects_other_wrappers_and_changes_nothing() -> None:
    env, other = Monitor(cart()), cart()
    env.reset(seed=1)
    other.reset(seed=2)
    before = read_env(other)
    with pytest.raises(EnvStateError, match="Monitor < "):
        write_env(other, read_env(env))
    assert same(read_env(other), before)


def test_saved_state_is_a_copy() -> None:
    env = make("SB3's")
    env.reset(seed=1)
    state = read_env(env)
    kept = roundtrip(state)
    play(env, 3, seed=1)
    assert same(state, kept)


def test_saved_state_does_not_grow_during_training() -> None:
    env = Monitor(gym.make("FrozenLake-v1"))
    env.reset(seed=1)
    play(env, 10, seed=0)
    before = len(str(read_env(env)))
    play(env, 700, seed=1)
    assert len(env.get_episode_rewards()) > 50
    assert len(str(read_env(env))) < 1.1 * before


def test_savable_env_is_not_part_of_the_state() -> None:
    env, fresh = SavableEnv(cart()), cart()
    env.reset(seed=1)
    assert env.restore_checkpoint_tree(env.checkpoint_tree()[0]) is None
    write_env(fresh, read_env(env))
    assert same(play(env, 30, seed=1), play(fresh, 30, seed=1))


def test_savable_env_returns_errors() -> None:
    state, reason = SavableEnv(UnknownWrapper(cart())).checkpoint_tree()
    assert state is None
    assert "UnknownWrapper" in str(reason)
    problem = SavableEnv(cart()).restore_checkpoint_tree(read_env(Monitor(cart())))
    assert "Monitor" in str(problem)


def test_finds_the_file_of_a_monitor(tmp_path: Path) -> None:
    env = SavableEnv(gw.ClipReward(Monitor(cart(), str(tmp_path / "0")), -1, 1))
    assert monitor_file(env) == env.checkpoint_monitor_file() == str(tmp_path / "0.monitor.csv")
    assert monitor_file(Monitor(cart())) is None
    assert monitor_file(cart()) is None
    env.close()
