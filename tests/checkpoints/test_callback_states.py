"""Callbacks go on with their counters, lists and best scores; other callbacks are refused."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
    ProgressBarCallback,
    StopTrainingOnNoModelImprovement,
)

from sb3_atari_course._common.state_tree import pack, unpack
from sb3_atari_course.checkpoints import CheckpointError, ExactCheckpoint
from sb3_atari_course.checkpoints.callback_states import (
    all_within,
    evaluation_envs,
    read_callbacks,
    write_callbacks,
)
from tests.checkpoints.small import poles


class Counting(BaseCallback):
    """Has attributes of all kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.best, self.lengths, self.name = -np.inf, deque(maxlen=3), "a word"
        self.seen: Any = None
        self.path = ""
        self.function = print

    def _on_step(self) -> bool:
        return True


class Own(Counting):
    """Says itself what it keeps."""

    def checkpoint_state(self) -> Any:
        return [self.best]

    def restore_checkpoint_state(self, state: Any) -> None:
        (self.best,) = state


def there_and_back(callback: Any, other: Any) -> None:
    packed, arrays = pack(read_callbacks(callback))
    write_callbacks(other, unpack(packed, arrays))


def test_plain_attributes_come_back(tmp_path: Any) -> None:
    one, other = Counting(), Counting()
    one.best, one.n_calls, one.num_timesteps = 3.5, 7, 28
    one.lengths.extend([1, 2, 3, 4])
    one.seen, one.name, other.name = np.arange(3), "a word", "another word"
    one.path, other.path = "a/path", "another/path"
    there_and_back(one, other)
    assert (other.best, other.n_calls, other.num_timesteps) == (3.5, 7, 28)
    assert list(other.lengths) == [2, 3, 4]
    assert other.lengths.maxlen == 3
    assert other.seen.tolist() == [0, 1, 2]
    assert other.name == "a word"
    assert other.path == "another/path"  # a setting, not a state
    assert other.function is print


def test_a_callback_may_say_itself_what_it_keeps() -> None:
    one, other = Own(), Own()
    one.best, one.n_calls = 2.0, 5
    there_and_back(one, other)
    assert (other.best, other.n_calls) == (2.0, 5)


def test_those_within_others_are_found() -> None:
    env = poles(None)
    stop = StopTrainingOnNoModelImprovement(3)
    evaluation = EvalCallback(env, callback_after_eval=stop, callback_on_new_best=Own())
    every = EveryNTimesteps(5, Counting())
    outer = CallbackList([CallbackList([evaluation]), every, ExactCheckpoint(5)])
    kinds = [type(one).__name__ for one in all_within([outer, Own()])]
    assert kinds == [
        "CallbackList",
        "CallbackList",
        "EvalCallback",
        "StopTrainingOnNoModelImprovement",
        "Own",
        "EveryNTimesteps",
        "Counting",
        "ExactCheckpoint",
        "Own",
    ]
    assert evaluation_envs(outer) == [env]
    stop.no_improvement_evals, every.last_time_trigger = 2, 15
    evaluation.best_mean_reward, evaluation.evaluations_timesteps = 4.0, [5, 10]
    fresh = EvalCallback(
        env,
        callback_after_eval=StopTrainingOnNoModelImprovement(3),
        callback_on_new_best=Own(),
    )
    fresh_every = EveryNTimesteps(5, Counting())
    there_and_back(outer, [fresh, fresh_every])  # lists and our own callback may come and go
    assert fresh.callback.no_improvement_evals == 2  # type: ignore[union-attr]
    assert fresh_every.last_time_trigger == 15
    assert (fresh.best_mean_reward, fresh.evaluations_timesteps) == (4.0, [5, 10])
    env.close()


@pytest.mark.parametrize(
    ("here", "message"),
    [
        ([], "had the callbacks Counting, Own, here they are none: pass the same ones, in the sa"),
        ([Own, Counting], "had the callbacks Counting, Own, here they are Own, Counting"),
        ([Counting, Own, Own], "here they are Counting, Own, Own"),
    ],
)
def test_others_are_refused_and_not_changed(here: list[type[Counting]], message: str) -> None:
    one = Counting()
    one.best = 9.0
    callbacks = [cls() for cls in here]
    with pytest.raises(CheckpointError, match=message):
        there_and_back([one, Own()], callbacks)
    assert all(callback.best == -np.inf for callback in callbacks)


def test_a_progress_bar_may_come_and_go(tmp_path: Any) -> None:
    saving = CheckpointCallback(5, str(tmp_path))
    saving.n_calls = 3
    other = CheckpointCallback(5, str(tmp_path))
    pytest.importorskip("tqdm")
    pytest.importorskip("rich")
    there_and_back([saving, ProgressBarCallback()], [other])
    assert other.n_calls == 3
