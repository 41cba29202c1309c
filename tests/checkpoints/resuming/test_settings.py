"""Settings go to JSON and come back; what cannot be found again by its name is refused."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from rl_zoo3.utils import SimpleLinearSchedule
from stable_baselines3 import DQN
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule

from sb3_atari_course._common.state_tree import NotPlainError
from sb3_atari_course.checkpoints import CheckpointError
from sb3_atari_course.checkpoints.resuming.settings import from_json, to_json
from sb3_atari_course.q_learning import EpisodeDecay


def there_and_back(value: Any) -> Any:
    return from_json(json.loads(json.dumps(to_json(value))))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        -1e-5,
        float("inf"),
        "a word",
        [1, [2, "x"]],
        (4, "step"),
        {"a": {"b": (1,)}, 3: None, "list": 1, "name": 2},
        {},
        [],
        th.nn.ReLU,
        th.optim.Adam,
        DQN,
        np.mean,
        len,
    ],
)
def test_they_come_back(value: Any) -> None:
    found = there_and_back(value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "array",
    [np.array([1.5, -np.inf]), np.array([[1, 2]], np.uint8), np.array([True]), np.array(["ab"])],
)
def test_arrays_come_back(array: Any) -> None:
    found = there_and_back({"low": array})["low"]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


class Unit(Enum):
    STEP = "step"


def test_others_come_back_as_what_they_stand_for() -> None:
    assert there_and_back(Unit.STEP) == "step"
    assert there_and_back(Path("a") / "b") == str(Path("a") / "b")
    assert there_and_back(np.float32(0.5)) == 0.5
    assert type(there_and_back(np.int64(3))) is int


@pytest.mark.parametrize(
    "schedule",
    [
        ConstantSchedule(0.3),
        LinearSchedule(1.0, 0.05, 0.8),
        FloatSchedule(0.5),
        FloatSchedule(LinearSchedule(1.0, 0.05, 0.8)),
        SimpleLinearSchedule(0.25),
    ],
)
def test_schedules_come_back(schedule: Any) -> None:
    found = there_and_back(schedule)
    assert type(found) is type(schedule)
    assert [found(x) for x in (1.0, 0.7, 0.1, 0.0)] == [schedule(x) for x in (1.0, 0.7, 0.1, 0.0)]


def test_a_decay_by_episodes_comes_back() -> None:
    decay = EpisodeDecay(1.0, 0.1, 0.9)
    found = there_and_back(decay)
    assert type(found) is EpisodeDecay
    assert vars(found) == vars(decay)


def inner() -> Any:
    def function() -> None:
        """Nobody finds it from outside."""

    return function


@pytest.mark.parametrize("value", [lambda x: x, inner(), object(), th.zeros(2), {1, 2}, b"a"])
def test_what_cannot_be_found_again_is_named(value: Any) -> None:
    with pytest.raises(NotPlainError, match=r"^learning_rate = .* cannot be written down"):
        to_json({"seed": 3, "learning_rate": value})
    with pytest.raises(NotPlainError, match=r"^this setting = .* cannot be written down"):
        to_json(value)


@pytest.mark.parametrize("name", ["no_such_module:a", "json:dumbs", ":a", "json:dumps.a", "json"])
def test_a_name_that_is_gone_is_told(name: str) -> None:
    message = rf"^{name}, which the training used, is not there any more \(.*resume\(path, model="
    with pytest.raises(CheckpointError, match=message):
        from_json({"$name": name})
