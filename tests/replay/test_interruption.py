"""Ctrl-C in the middle of `add`: the memory stays right, wherever it strikes."""

from __future__ import annotations

import pickle
import sys
from types import FrameType
from typing import Any

import pytest

from sb3_atari_course.replay import FrameReplayBuffer
from tests.fakes import StackedPlay, Transition

N_ROWS, N_ENVS = 6, 2


class Interruption:
    """Raises KeyboardInterrupt before the n-th line of our package that is run."""

    def __init__(self, at_line: int) -> None:
        self.lines_left = at_line

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if "sb3_atari_course" not in frame.f_code.co_filename:
            return None
        if event == "line":
            self.lines_left -= 1
            if self.lines_left == 0:
                raise KeyboardInterrupt
        return self


def add_until_interrupted(buffer: FrameReplayBuffer, transition: Transition, at_line: int) -> bool:
    """Add a transition, interrupted at a line; return False if it was over before."""
    tracing = sys.gettrace()
    sys.settrace(Interruption(at_line))
    try:
        buffer.add(*transition)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(tracing)
    return False


def rows_of(buffer: FrameReplayBuffer) -> list[tuple[bytes, ...]]:
    """Return all that the buffer holds of each row."""
    arrays = (buffer.observations, buffer.next_observations, buffer.rewards, buffer.dones)
    return [tuple(array[row].tobytes() for array in arrays) for row in range(buffer.size())]


def row_of(transition: Transition) -> tuple[bytes, ...]:
    obs, next_obs, _, rewards, dones, _ = transition
    return obs.tobytes(), next_obs.tobytes(), rewards.tobytes(), dones.astype("f4").tobytes()


@pytest.mark.parametrize("compression", [None, "lz4"])
@pytest.mark.parametrize("padding", ["repeat", "zero"])
@pytest.mark.parametrize("n_before", [0, 3, 17])
def test_each_row_is_one_of_those_that_were_added(
    n_before: int, padding: str, compression: Any
) -> None:
    at_line, n_interrupted = 0, 0
    while n_interrupted == at_line:
        at_line += 1
        play = StackedPlay(n_before, n_envs=N_ENVS, padding=padding)
        spaces = play.observation_space, play.action_space
        buffer = FrameReplayBuffer(
            N_ROWS * N_ENVS, *spaces, "cpu", n_envs=N_ENVS, compression=compression
        )
        transitions = [play.step() for _ in range(n_before + 5)]
        for transition in transitions[:n_before]:
            buffer.add(*transition)
        n_interrupted += add_until_interrupted(buffer, transitions[n_before], at_line)
        assert pickle.loads(pickle.dumps(buffer)).size() == buffer.size()
        buffer.check_valid()
        for transition in transitions[n_before + 1 :]:
            buffer.add(*transition)
        expected = [row_of(transition) for transition in transitions]
        held = rows_of(buffer)
        # in time: the oldest row first
        in_time = held[buffer.pos :] + held[: buffer.pos] if buffer.full else held
        without = [row for i, row in enumerate(expected) if i != n_before]
        assert in_time in (expected[-len(held) :], without[-len(held) :]), at_line
        buffer.check_valid()
    assert at_line > 30
