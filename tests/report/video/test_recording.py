"""Recording of one full game: frames, unclipped score, length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray
from rl_zoo3.gym_patches import PatchedTimeLimit
from stable_baselines3 import DQN
from stable_baselines3.common.monitor import Monitor

from sb3_atari_course import evaluate_games, make_atari_env, wrap_atari
from sb3_atari_course.envs import make_game
from sb3_atari_course.report.video import record_game
from sb3_atari_course.wrappers import ClipReward, FireOnReset, FrameStack, LifeLossTerminal
from tests.fakes import FakeGame, ScriptedPlayer

BREAKOUT = "BreakoutNoFrameskip-v4"


class Renderable(FakeGame):
    """A FakeGame that can be rendered; it reuses one array."""

    render_mode = "rgb_array"

    def render(self) -> NDArray[np.uint8]:  # type: ignore[override]
        return self.screen


def fake(lives: Sequence[int] | None = None, **settings: Any) -> Renderable:
    return Renderable(lives=lives, reuse_array=True, **settings)


def frame_numbers(frames: Sequence[NDArray[np.uint8]]) -> list[tuple[int, int]]:
    """Return (game, frame of the game) of the screens."""
    return [(int(frame[0, 0, 0]), int(frame[0, 0, 1])) for frame in frames]


def test_records_every_step_through_all_lives() -> None:
    game = fake(lives=[3, 3, 2, 2, 1, 1], ends_at=6, step_reward=5)
    env = ClipReward(FireOnReset(LifeLossTerminal(game)))
    recording = record_game(ScriptedPlayer([2, 3]), env, seed=0)
    # FIRE (action 1) is pressed inside reset, at frames 0, 2 and 4, and is not a step of the agent
    assert game.tape[1:] == [1, 2, 1, 3, 1, 2]
    assert frame_numbers(recording.frames) == [(1, 1), (1, 3), (1, 5), (1, 6)]
    assert (recording.score, recording.n_steps) == (30.0, 3)


def test_env_is_unchanged_and_can_be_reused() -> None:
    env = LifeLossTerminal(fake(lives=[2, 1], ends_at=3))
    inside = env.env
    first, second = (record_game(ScriptedPlayer([0]), env, seed=seed) for seed in (0, 1))
    assert env.env is inside
    assert (first.score, second.score) == (3.0, 3.0)
    assert frame_numbers(second.frames) == [(2, 0), (2, 1), (2, 2), (2, 3)]


def test_max_steps_counts_agent_steps() -> None:
    recording = record_game(ScriptedPlayer([0]), fake(), seed=0, max_steps=4)
    assert (recording.score, recording.n_steps, len(recording.frames)) == (4.0, 4, 5)


def test_recording_ends_at_a_truncation_by_any_wrapper() -> None:
    for env, n_steps in (
        (fake(truncated_at=3), 3),
        (TimeLimit(fake(), 3), 3),
        (FireOnReset(TimeLimit(fake(), 3)), 2),  # FIRE is a step of the game
        (TimeLimit(LifeLossTerminal(fake(lives=[2, 1])), 3), 4),  # it starts over in each life
        # cut off by the FIRE of the second life, inside reset
        (FireOnReset(LifeLossTerminal(TimeLimit(fake(lives=[2, 2, 1]), 3))), 1),
        (FireOnReset(LifeLossTerminal(PatchedTimeLimit(fake(lives=[2, 2, 1]), 3))), 1),
    ):
        recording = record_game(ScriptedPlayer([0]), env, seed=0)
        assert (recording.n_steps, len(recording.frames)) == (n_steps, n_steps + 1)


def test_draw_gets_the_observation_and_action_of_each_frame() -> None:
    seen = []

    def draw(frame: NDArray[np.uint8], obs: Any, action: Any) -> NDArray[np.uint8]:
        seen.append((int(frame[0, 0, 1]), obs[0, 0, 1::3].tolist(), int(action)))
        return np.hstack([frame, frame])

    env = FrameStack(fake(ends_at=3), n_stack=2)
    recording = record_game(ScriptedPlayer([2, 3]), env, seed=0, draw=draw)
    assert seen == [(0, [0, 0], 2), (1, [0, 1], 3), (2, [1, 2], 2), (3, [2, 3], 2)]
    assert recording.frames[0].shape == (4, 10, 3)


def test_seed_determines_the_game() -> None:
    def play(seed: int | None, epsilon: float) -> list[Any]:
        game = fake(ends_at=12)
        record_game(ScriptedPlayer([0]), game, seed=seed, epsilon=epsilon)
        return game.tape[1:]

    assert play(0, 0.0) == [0] * 12
    assert play(0, 1.0) == play(0, 1.0) != play(1, 1.0)
    assert play(None, 1.0) != play(None, 1.0)


def test_plays_the_same_game_as_evaluate_games() -> None:
    """The same wrappers and seed; a model trained on stacks that the env does not make."""
    train_env = make_atari_env(BREAKOUT, env_kwargs={"render_mode": None})
    model = DQN("CnnPolicy", train_env, buffer_size=1, seed=0)
    report = evaluate_games(
        model, BREAKOUT, n_games=2, seed=5, epsilon=0.5, max_frames=600, random_play=False
    )
    game = make_game(
        BREAKOUT, obs_type="grayscale", render_mode="rgb_array", max_num_frames_per_episode=600
    )
    with wrap_atari(Monitor(game)) as env:
        recording = record_game(model, env, seed=(5, 1), epsilon=0.5)
    assert recording.score == report.scores[1] > 0
    assert len(recording.frames) == recording.n_steps + 1
    assert {frame.shape for frame in recording.frames} == {(210, 160, 3)}
    train_env.close()


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (FakeGame, {}, r"gym.make\(..., render_mode='rgb_array'\), got render_mode=None"),
        (fake, {"epsilon": 2}, r"epsilon.* 2"),
        (fake, {"max_steps": 0}, "max_steps must be at least 1, got 0"),
    ],
)
def test_rejects_invalid_arguments(make: Any, settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        record_game(ScriptedPlayer([0]), make(), **settings)
