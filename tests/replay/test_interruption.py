"""Tests of interrupting ``FrameReplayBuffer.add`` by Ctrl-C at any line."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.callbacks import BaseCallback

import sb3_atari_course
from sb3_atari_course.replay import FrameReplayBuffer
from tests import naive
from tests.fakes import StackedPlay, Transition
from tests.replay.test_frame_replay_buffer import sample
from tests.replay.test_training import make_model

N_ROWS, N_ENVS = 6, 2

#: The folder, not just its name: a checkout of that name may contain the virtual environment.
PACKAGE = str(Path(sb3_atari_course.__file__).parent)


class Interruption:
    """Trace function that raises KeyboardInterrupt before the n-th executed line of the package."""

    def __init__(self, at_line: int) -> None:
        self.lines_left = at_line

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            self.lines_left -= 1
            if self.lines_left == 0:
                raise KeyboardInterrupt
        return self


def add_until_interrupted(buffer: FrameReplayBuffer, transition: Transition, at_line: int) -> bool:
    """Add a transition, interrupted at a line; return False if it was completed before."""
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
    """Return the content of each row of the buffer."""
    arrays = (buffer.observations, buffer.next_observations, buffer.rewards, buffer.dones)
    return [tuple(array[row].tobytes() for array in arrays) for row in range(buffer.size())]


def row_of(transition: Transition) -> tuple[bytes, ...]:
    obs, next_obs, _, rewards, dones, _ = transition
    return obs.tobytes(), next_obs.tobytes(), rewards.tobytes(), dones.astype("f4").tobytes()


@pytest.mark.parametrize("compression", [None, "lz4"])
@pytest.mark.parametrize("padding", ["repeat", "zero"])
@pytest.mark.parametrize("n_before", [0, 3, 17])
def test_interrupted_row_is_added_completely_or_not_at_all(
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
        oldest_first = held[buffer.pos :] + held[: buffer.pos] if buffer.full else held
        without = [row for i, row in enumerate(expected) if i != n_before]
        assert oldest_first in (expected[-len(held) :], without[-len(held) :]), at_line
        buffer.check_valid()
    assert at_line > 30


class TestGaps:
    """n-step returns do not extend over a gap between transitions."""

    @staticmethod
    def make(play: StackedPlay, n_rows: int = 12, **kwargs: Any) -> FrameReplayBuffer:
        settings = (n_rows * N_ENVS, play.observation_space, play.action_space, "cpu", N_ENVS)
        return FrameReplayBuffer(*settings, n_steps=3, gamma=0.9, **kwargs)

    @staticmethod
    def mark_gap(reference: naive.NaiveReplayBuffer) -> None:
        """Truncate the running episodes of the naive reference, as after a time limit."""
        for transition in reference.all_rows[-1]:
            transition["truncated"] |= not transition["over"]

    @staticmethod
    def assert_same(buffer: FrameReplayBuffer, reference: naive.NaiveReplayBuffer) -> None:
        for seed in range(5):
            batch = sample(buffer, 30, seed)
            for name, expected in sample(reference, 30, seed).items():
                np.testing.assert_allclose(getattr(batch, name), expected, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("handle_timeouts", [True, False])
    @pytest.mark.parametrize("compression", [None, "lz4"])
    def test_returns_end_at_gaps_of_all_environments(
        self, compression: Any, handle_timeouts: bool
    ) -> None:
        """Several gaps, at the start and in a full buffer."""
        play = StackedPlay(0, n_envs=N_ENVS)
        buffer = self.make(
            play, compression=compression, handle_timeout_termination=handle_timeouts
        )
        reference = naive.NaiveReplayBuffer(12, N_ENVS, n_steps=3, gamma=0.9)
        for seed, n_rows in enumerate((1, 4, 2, 9, 7, 12)):
            if seed:
                play = StackedPlay(seed, n_envs=N_ENVS)
                self.mark_gap(reference)
            for _ in range(n_rows):
                *transition, infos = play.step()
                infos = infos if handle_timeouts else [{}] * N_ENVS
                buffer.add(*transition, infos)
                reference.add(*transition, infos)
                buffer.check_valid()
                self.assert_same(buffer, reference)

    def test_gap_of_one_environment_truncates_only_its_episode(self) -> None:
        """The episode of the other environment continues."""
        play = StackedPlay(3, n_envs=N_ENVS)
        buffer = self.make(play)
        reference = naive.NaiveReplayBuffer(12, N_ENVS, n_steps=3, gamma=0.9)
        for step in range(9):
            if step == 5:
                assert not buffer.dones[4].any()  # both episodes are running
                play.stacks[1] = StackedPlay(7, n_envs=1).stacks[0]
                reference.all_rows[-1][1]["truncated"] = True
            transition = play.step()
            buffer.add(*transition)
            reference.add(*transition)
        assert buffer.timeouts[4].tolist() == [0.0, 1.0]
        self.assert_same(buffer, reference)

    @pytest.mark.parametrize("way", ["file", "pickle"])
    def test_loading_a_buffer_truncates_its_running_episodes(
        self, way: str, tmp_path: Path
    ) -> None:
        play, other = StackedPlay(3, n_envs=N_ENVS), StackedPlay(4, n_envs=N_ENVS)
        buffer = self.make(play)
        reference = naive.NaiveReplayBuffer(12, N_ENVS, n_steps=3, gamma=0.9)
        for _ in range(5):
            transition = play.step()
            buffer.add(*transition)
            reference.add(*transition)
        if way == "file":
            buffer.save(tmp_path / "buffer.npz")
            buffer = self.make(play)
            buffer.load(tmp_path / "buffer.npz")
        else:
            buffer = pickle.loads(pickle.dumps(buffer))
        self.mark_gap(reference)
        for _ in range(3):
            transition = other.step()
            buffer.add(*transition)
            reference.add(*transition)
        self.assert_same(buffer, reference)

    def test_interrupting_training_truncates_the_running_episode(self) -> None:
        """SB3 resets the environment in the next ``learn``."""
        model = make_model(0.99, n_steps=3)

        class Interrupt(BaseCallback):
            def _on_step(self) -> bool:
                if self.n_calls == 31:  # its transition is lost
                    raise KeyboardInterrupt
                return True

        with pytest.raises(KeyboardInterrupt):
            model.learn(40, Interrupt())
        buffer = model.replay_buffer
        assert isinstance(buffer, FrameReplayBuffer)
        assert buffer.pos == 30
        assert not buffer.dones[26:30].any()
        model.learn(15)
        assert np.flatnonzero(buffer.timeouts).tolist() == [29]
        discounts = buffer._get_samples(np.array([26, 27, 28, 29, 30])).discounts
        assert discounts is not None
        expected = 0.99 ** np.array([3, 3, 2, 1, 3])
        np.testing.assert_allclose(discounts[:, 0], expected, rtol=1e-6)
