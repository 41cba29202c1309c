"""What a step of a VecEnv means to a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv, VecNormalize

from sb3_atari_course.q_learning import QTablePolicy
from sb3_atari_course.q_learning.q_learning import TransitionReader, env_name
from tests.fakes import World, random_rules


def make_world() -> World:
    return World(random_rules(0))


@pytest.mark.parametrize(
    ("make", "vec_env_cls", "name"),
    [
        ("Taxi-v4", None, "Taxi-v4 (environment 1)"),
        pytest.param(
            "Taxi-v4", SubprocVecEnv, "Taxi-v4 (environment 1)", marks=pytest.mark.process
        ),
        (make_world, None, "World (environment 1)"),
        pytest.param(
            make_world, SubprocVecEnv, "SubprocVecEnv (environment 1)", marks=pytest.mark.process
        ),
    ],
)
def test_an_environment_is_called_by_its_id_or_class(
    make: Any, vec_env_cls: Any, name: str
) -> None:
    envs = VecNormalize(make_vec_env(make, 2, vec_env_cls=vec_env_cls), norm_obs=False)
    assert env_name(envs, 1) == name
    envs.close()


@pytest.fixture
def reader() -> TransitionReader:
    envs = make_vec_env(make_world, 3)
    return TransitionReader(QTablePolicy(envs.observation_space, envs.action_space), envs)


def test_an_episode_that_ended_led_to_its_last_state_or_nowhere(reader: TransitionReader) -> None:
    infos: list[dict[str, Any]] = [
        {"terminal_observation": 4, "TimeLimit.truncated": True},
        {"TimeLimit.truncated": False},
        {"terminal_observation": 5, "TimeLimit.truncated": False},
    ]
    assert reader.next_states([1, 2, 3], [True, False, True], infos) == [4, 2, None]


def test_a_terminal_observation_of_another_shape_is_refused(reader: TransitionReader) -> None:
    infos = [{"terminal_observation": np.array([[4]])}, {}, {}]
    with pytest.raises(ValueError, match=r"World \(environment 0\) is broken: .* have the shape"):
        reader.next_states([1, 2, 3], [True, False, False], infos)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_reward_that_is_no_number_is_refused(reader: TransitionReader, bad: float) -> None:
    assert reader.rewards(np.array([1.0, -2.5, 0.0])) == [1.0, -2.5, 0.0]
    with pytest.raises(ValueError, match=r"World \(environment 2\) is broken: it pays -?(nan|inf)"):
        reader.rewards(np.array([1.0, 2.0, bad]))


def test_the_wrong_one_of_several_is_named(reader: TransitionReader) -> None:
    assert reader.states(np.array([0, 5, 1])) == [0, 5, 1]
    with pytest.raises(ValueError, match=r"World \(environment 1\) is broken: state 6 lies"):
        reader.states(np.array([0, 6, 1]))
