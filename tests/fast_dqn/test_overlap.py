"""Work between sending and waiting."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_atari_course.fast_dqn.overlap import WorkWhilePlaying
from tests.fakes import FakeGame


class Slow(DummyVecEnv):
    """Tells when it sends and waits."""

    def __init__(self, tape: list[str]) -> None:
        super().__init__([FakeGame])
        self.tape = tape

    def step_async(self, actions: Any) -> None:
        self.tape.append("send")
        super().step_async(actions)

    def step_wait(self) -> Any:
        self.tape.append("wait")
        return super().step_wait()


def test_work_is_done_between_sending_and_waiting() -> None:
    tape: list[str] = []
    env = WorkWhilePlaying(Slow(tape), lambda: tape.append("work"))
    assert env.reset()[0, 0, 0].tolist() == [1, 0, 100]
    assert tape == []
    obs, rewards, _, _ = env.step(np.array([2]))
    assert tape == ["send", "work", "wait"]
    assert obs[0, 0, 0].tolist() == [1, 1, 99]
    assert rewards.tolist() == [1.0]
