"""An environment that was saved and restored in a fresh one goes on alike, whatever its layers."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import gymnasium.wrappers as gw
import numpy as np
import pytest
from gymnasium import spaces
from rl_zoo3 import wrappers as zoo
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.monitor import Monitor

from sb3_atari_course import wrappers as ours
from sb3_atari_course.envs import wrap_atari
from sb3_atari_course.envs.state.env_state import (
    FIELDS,
    EnvStateError,
    UnsavableEnvError,
    class_name,
    monitor_file,
    read_env,
    write_env,
)
from sb3_atari_course.envs.state.savable_env import SavableEnv
from tests.envs.state.players import play, same, through_a_file

Env = gym.Env[Any, Any]


def cart(**kwargs: Any) -> Env:
    return gym.make("CartPole-v1", max_episode_steps=25, **kwargs)


def pendulum() -> Env:
    return gym.make("Pendulum-v1", max_episode_steps=25)


def breakout(**kwargs: Any) -> Env:
    return gym.make("BreakoutNoFrameskip-v4", max_num_frames_per_episode=120, **kwargs)


def as_dict(env: Env) -> Env:
    space = spaces.Dict({"observation": env.observation_space})
    return gw.TransformObservation(env, lambda obs: {"observation": obs}, space)


class Lucky(gym.Wrapper[Any, Any, Any, Any]):
    """Every third step is a success: a wrapper of somebody's own that remembers a number."""

    n_steps = 0

    def step(self, action: Any) -> Any:
        self.n_steps += 1
        *step, info = super().step(action)
        return (*step, {**info, "is_success": self.n_steps % 3 != 0})

    def checkpoint_state(self) -> Any:
        return {"n_steps": self.n_steps}

    def restore_checkpoint_state(self, state: Any) -> None:
        self.n_steps = state["n_steps"]


class Forgetful(gym.Wrapper[Any, Any, Any, Any]):
    """A wrapper that nobody knows."""


#: Together they have every layer that is known.
MAKERS: dict[str, Callable[[], Env]] = {
    "Acrobot": lambda: gym.make("Acrobot-v1", max_episode_steps=25),
    "MountainCar": lambda: gym.make("MountainCar-v0", max_episode_steps=25),
    "Blackjack": lambda: gym.make("Blackjack-v1"),
    "CliffWalking": lambda: gym.make("CliffWalking-v1", is_slippery=True, max_episode_steps=25),
    "FrozenLake": lambda: gym.make("FrozenLake-v1", desc=None),
    "Taxi": lambda: gym.make("Taxi-v4", is_rainy=True, fickle_passenger=True, max_episode_steps=25),
    "bare": lambda: cart().unwrapped,
    "ours": lambda: wrap_atari(Monitor(breakout()), n_stack=4, crop=(30, 195, 5, 155)),
    "SB3's": lambda: AtariWrapper(Monitor(breakout()), action_repeat_probability=0.25),
    "Gymnasium's": lambda: gw.FrameStackObservation(
        gw.AtariPreprocessing(breakout(repeat_action_probability=0.25), terminal_on_life_loss=True),
        4,
    ),
    "frames": lambda: gw.ResizeObservation(
        gw.GrayscaleObservation(gw.MaxAndSkipObservation(breakout(), 4)), (20, 20)
    ),
    "other frames": lambda: gw.AddRenderObservation(
        gw.DtypeObservation(breakout(frameskip=4, render_mode="rgb_array"), np.float32)
    ),
    "zoo's frames": lambda: zoo.YAMLCompatResizeObservation(breakout(frameskip=4), [20, 20]),
    "statistics": lambda: gw.RecordEpisodeStatistics(cart()),
    "dicts": lambda: gw.FlattenObservation(gw.FilterObservation(as_dict(cart()), ["observation"])),
    "actions": lambda: gw.ClipAction(gw.RescaleAction(pendulum(), -0.5, 0.5)),
    "other actions": lambda: gw.DiscretizeAction(
        gw.TransformAction(pendulum(), lambda action: -action, pendulum().action_space), 5
    ),
    "observations": lambda: gw.ReshapeObservation(
        gw.RescaleObservation(pendulum(), np.float32(-1), np.float32(1)), (3, 1)
    ),
    "observations in bins": lambda: gw.DiscretizeObservation(pendulum(), 9),
    "rewards": lambda: gw.ClipReward(gw.TransformReward(pendulum(), lambda r: r / 2), -1, 1),
    "a wrapper of one's own": lambda: Lucky(cart()),
    "ours for tables": lambda: ours.DiscretizeObservations(
        ours.DiscretizeActions(
            gym.make("MountainCarContinuous-v0", max_episode_steps=25), n_bins=3
        ),
        n_bins=7,
    ),
    "zoo's limit": lambda: zoo_limit(cart().unwrapped),
    "Gymnasium's limit": lambda: gymnasium_limit(cart().unwrapped),
}

#: What changes and is not saved: settings behind properties, clocks, what is drawn, what every step
#: overwrites before it is looked at, and what is saved in another way.
NOT_SAVED = {
    "action_space",
    "np_random",
    "_np_random",
    "_np_random_seed",
    "_cached_spec",
    "clock",
    "screen",
    "surf",
    "isopen",
    "ale",
    "P",  # saved, and never changed
    "episode_start_time",
    "stacked_obs",
    "n_steps",  # Lucky saves it
}
#: Monitor's lists, which grow with the training.
NOT_SAVED_OF_MONITOR = {"episode_returns", "episode_lengths", "episode_times"}


def gymnasium_limit(env: Env) -> Env:
    patched = next(
        cls for cls in (gw.TimeLimit, *gw.TimeLimit.__mro__) if "zoo" not in cls.__module__
    )
    return patched(env, 20)


def zoo_limit(env: Env) -> Env:
    from rl_zoo3.gym_patches import PatchedTimeLimit

    return PatchedTimeLimit(env, 20)


def make(name: str) -> Env:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium's, of bounds and precision
        return MAKERS[name]()


def layers(env: Env) -> list[Env]:
    found = [env]
    while isinstance(found[-1], gym.Wrapper):
        found.append(found[-1].env)
    return found


def fields_of(layer: Env) -> dict[str, Any]:
    """Return copies of all fields that are data, with those of helpers like running means."""
    found = {}
    for name, value in vars(layer).items():
        if type(value).__name__ == "RunningMeanStd":
            found.update({f"{name}.{key}": copy.deepcopy(vars(value)[key]) for key in vars(value)})
        elif not isinstance(value, gym.Env) and not callable(value) and name not in NOT_SAVED:
            found[name] = copy.deepcopy(value)
    return found


@pytest.mark.parametrize("name", MAKERS)
def test_all_that_changes_is_saved(name: str) -> None:
    env = make(name)
    before = [fields_of(layer) for layer in layers(env)]
    env.reset(seed=1)
    changed: list[set[str]] = [set() for _ in before]
    for i in range(40):
        after = [fields_of(layer) for layer in layers(env)]
        for found, old, new in zip(changed, before, after, strict=True):
            found |= {key for key in new if key not in old or not same(old[key], new[key])}
        before = after
        play(env, 1, seed=i)
    for layer, found in zip(layers(env), changed, strict=True):
        allowed = NOT_SAVED_OF_MONITOR if isinstance(layer, Monitor) else set()
        assert found <= {*FIELDS.get(class_name(type(layer)), ()), *allowed}, layer


#: All of them in the middle of an episode, some of them before the first one.
CASES = [*((name, 33) for name in MAKERS), ("bare", 0), ("ours", 0), ("Gymnasium's", 0)]


@pytest.mark.parametrize(("name", "n_steps"), CASES)
def test_a_restored_environment_goes_on_alike(name: str, n_steps: int) -> None:
    env, fresh = make(name), make(name)
    env.reset(seed=1)
    env.action_space.seed(3)
    play(env, n_steps, seed=1)
    if n_steps:  # or never reset
        fresh.reset(seed=2)
        play(fresh, 5, seed=5)
    write_env(fresh, through_a_file(read_env(env)))
    assert env.action_space.sample() == fresh.action_space.sample()  # its stream
    seen, n_ends = play(env, 40, seed=7)
    assert same((seen, n_ends), play(fresh, 40, seed=7))
    assert n_ends > 0 or name == "bare"
    if name != "statistics":  # which have the time
        assert same(read_env(env), read_env(fresh))


def test_every_known_layer_is_tried() -> None:
    tried = {class_name(type(layer)) for name in MAKERS for layer in layers(make(name))}
    tried.add("rl_zoo3.gym_patches.PatchedTimeLimit")  # its full name is TimeLimit's
    assert set(FIELDS) <= tried


def test_an_episode_that_is_over_is_followed_by_the_same_life_or_game() -> None:
    env, fresh = (wrap_atari(Monitor(gym.make("BreakoutNoFrameskip-v4"))) for _ in range(2))
    env.reset(seed=1)
    lives = []
    while 1 not in lives:
        _, _, terminated, _, info = env.step(env.action_space.sample())
        if terminated:
            lives.append(info["lives"])
            write_env(fresh, through_a_file(read_env(env)))
            assert same(env.reset(), fresh.reset())
            assert same(play(env, 5, seed=1), play(fresh, 5, seed=1))
    assert len(lives) > 2


def test_an_environment_that_was_never_reset_begins_alike() -> None:
    env, fresh = cart(), cart()
    fresh.reset(seed=4)
    write_env(fresh, through_a_file(read_env(env)))
    assert fresh.unwrapped._np_random is None
    with pytest.raises(gym.error.ResetNeeded):
        fresh.step(0)
    assert same(env.reset(seed=1), fresh.reset(seed=1))


def test_what_rl_zoo_puts_in_the_place_of_timelimit_is_the_same_layer() -> None:
    env, fresh = zoo_limit(cart().unwrapped), gymnasium_limit(cart().unwrapped)
    env.reset(seed=1)
    env.step(0)
    write_env(fresh, read_env(env))
    assert fresh._elapsed_steps == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("wrap", [Forgetful, lambda env: Monitor(Forgetful(env))])
def test_a_foreign_wrapper_is_named(wrap: Callable[[Env], Env]) -> None:
    with pytest.raises(UnsavableEnvError, match=r"test_env_state\.Forgetful .*checkpoint_state"):
        read_env(wrap(cart()))


def test_a_subclass_of_a_known_layer_is_foreign() -> None:
    class Longer(ours.FireOnReset):
        pass

    with pytest.raises(UnsavableEnvError, match="Longer"):
        read_env(Longer(breakout()))


def test_a_box2d_environment_is_named() -> None:
    with pytest.raises(UnsavableEnvError, match=r"lunar_lander\.LunarLander"):
        read_env(gym.make("LunarLander-v3"))


def test_a_state_that_is_no_plain_data_is_refused_with_its_place() -> None:
    env = Monitor(cart())
    env.current_reset_info = {"why": object()}
    with pytest.raises(UnsavableEnvError, match=r"Monitor .*current_reset_info/why"):
        read_env(env)


def test_other_layers_are_refused_and_nothing_is_changed() -> None:
    env, other = Monitor(cart()), cart()
    env.reset(seed=1)
    other.reset(seed=2)
    before = read_env(other)
    with pytest.raises(EnvStateError, match=r"state is one of .*Monitor < .*make it as"):
        write_env(other, read_env(env))
    assert same(read_env(other), before)


def test_a_state_is_a_copy() -> None:
    env = gw.MaxAndSkipObservation(cart(), 2)
    env.reset(seed=1)
    play(env, 3, seed=0)
    state = read_env(env)
    kept = through_a_file(state)
    play(env, 3, seed=1)
    assert same(state, kept)


def test_the_state_does_not_grow_with_the_training() -> None:
    env = Monitor(gym.make("Blackjack-v1"))
    env.reset(seed=1)
    play(env, 300, seed=1)
    assert len(env.get_episode_rewards()) > 100
    assert len(str(read_env(env))) < 3000


def test_the_wrapper_for_workers_is_no_layer() -> None:
    env, fresh = SavableEnv(cart()), cart()
    env.reset(seed=1)
    assert env.restore_checkpoint_tree(env.checkpoint_tree()[0]) is None
    write_env(fresh, read_env(env))
    assert same(play(env, 30, seed=1), play(fresh, 30, seed=1))


def test_the_wrapper_for_workers_tells_what_went_wrong() -> None:
    state, reason = SavableEnv(Forgetful(cart())).checkpoint_tree()
    assert state is None
    assert "Forgetful" in str(reason)
    problem = SavableEnv(cart()).restore_checkpoint_tree(read_env(Monitor(cart())))
    assert "make it as it was made" in str(problem)


def test_the_file_of_a_monitor_is_found(tmp_path: Path) -> None:
    env = SavableEnv(gw.ClipReward(Monitor(cart(), str(tmp_path / "0")), -1, 1))
    assert monitor_file(env) == str(tmp_path / "0.monitor.csv")
    assert env.checkpoint_monitor_file() == str(tmp_path / "0.monitor.csv")
    assert monitor_file(Monitor(cart())) is None
    assert monitor_file(cart()) is None
    env.close()
