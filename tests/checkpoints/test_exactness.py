"""A training that is cut off and resumed ends as one in peace, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.run_differences import (
    count_differences,
    count_differing_bytes,
    differing_rows,
    other_numbers,
    replay_buffer_arrays,
    weights_and_optimizer,
)
from sb3_atari_course.checkpoints import resume, snapshot
from sb3_atari_course.envs import env_state, vec_env_state
from tests.checkpoints import small
from tests.checkpoints.trainings import (
    CUT,
    STEPS,
    assert_same_end,
    beside,
    breakout,
    build,
    deep,
    train,
)

KINDS = (
    "DQN",
    pytest.param("QRDQN", marks=pytest.mark.slow),
    pytest.param("FastDQN", marks=pytest.mark.slow),
    "QLearning",
)


def go_on(kind: str, folder: Path) -> Any:
    model = resume(folder, build(kind, folder, again=True), callback=beside(kind, folder))
    assert model.env is not None
    model.env.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_that_is_cut_off_ends_as_one_in_peace(kind: str, tmp_path: Path) -> None:
    peace, cut = tmp_path / "peace", tmp_path / "cut"
    train(kind, peace)
    train(kind, cut, cut=CUT)
    go_on(kind, cut)
    assert_same_end(peace, cut)
    assert differing_rows(peace, cut, "*.monitor.csv") == 0
    evaluations = [np.load(folder / "evaluations.npz") for folder in (peace, cut)]
    assert len(evaluations[0]["timesteps"]) == STEPS // 120 // (2 if kind == "QLearning" else 1)
    for name in evaluations[0].files:
        assert (evaluations[0][name] == evaluations[1][name]).all()
    if kind != "QLearning":
        buffers = [deep_buffer(kind) for _ in range(2)]
        memories = zip(*map(replay_buffer_arrays, (peace, cut), buffers), strict=True)
        assert sum(count_differing_bytes(a, b) for a, b in memories) == 0
        assert (peace / "0.monitor.csv").read_text().count("\n") > 4  # games were over


def deep_buffer(kind: str) -> Any:
    from sb3_contrib import QRDQN
    from stable_baselines3 import DQN

    return deep(QRDQN if kind == "QRDQN" else DQN, breakout(None)).replay_buffer


@pytest.mark.parametrize("stream", ["numpy", "actions", "own_stream", "env"])
def test_a_stream_that_is_not_restored_is_seen(
    stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peace, cut = tmp_path / "peace", tmp_path / "cut"
    if stream == "own_stream":
        train("QLearning", peace)
        train("QLearning", cut, cut=CUT)
        forget(stream, monkeypatch)
        go_on("QLearning", cut)
    else:
        small.learn(peace)
        small.learn(cut, cut=small.CUT)
        forget(stream, monkeypatch)
        small.go_on(cut)
    differing, _ = count_differences(weights_and_optimizer(peace), weights_and_optimizer(cut))
    others, _ = count_differences(other_numbers(peace), other_numbers(cut))
    assert differing + others > 0


def forget(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave one random generator as a new process has it."""
    if stream == "numpy":
        write_all = snapshot.write_global_streams

        def without_one(state: dict[str, Any]) -> None:
            write_all({**state, "numpy": np.random.RandomState(1).get_state(legacy=False)})

        monkeypatch.setattr(snapshot, "write_global_streams", without_one)
        return
    if stream == "env":
        monkeypatch.setattr(env_state, "write_generator", lambda generator, state: None)
        return
    if stream == "actions":  # the model's are mostly those of its environments
        for name in ("write_space", "_write_one"):
            monkeypatch.setattr(vec_env_state, name, lambda *args: None)
    write_one = env_state.write_generator
    left = {"actions": 0, "own_stream": 1}[stream]
    calls: list[Any] = []

    def all_but_one(generator: np.random.Generator, state: Any) -> None:
        calls.append(generator)
        if len(calls) - 1 != left:
            write_one(generator, state)

    monkeypatch.setattr(snapshot, "write_generator", all_but_one)
