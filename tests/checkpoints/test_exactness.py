"""An interrupted and resumed training is bit-identical to an uninterrupted one."""

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
from tests.checkpoints import cartpole_trainings
from tests.checkpoints.trainings import (
    INTERRUPT_AT,
    STEPS,
    assert_same_end,
    breakout,
    build,
    deep,
    other_callbacks,
    train,
)

KINDS = (
    "DQN",
    pytest.param("QRDQN", marks=pytest.mark.slow),
    pytest.param("FastDQN", marks=pytest.mark.slow),
    "QLearning",
)


def resume_run(kind: str, folder: Path) -> Any:
    model = resume(folder, build(kind, folder, again=True), callback=other_callbacks(kind, folder))
    assert model.env is not None
    model.env.close()


@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_training_matches_an_uninterrupted_one(kind: str, tmp_path: Path) -> None:
    uninterrupted, interrupted = tmp_path / "uninterrupted", tmp_path / "interrupted"
    train(kind, uninterrupted)
    train(kind, interrupted, interrupt_at=INTERRUPT_AT)
    resume_run(kind, interrupted)
    assert_same_end(uninterrupted, interrupted)
    assert differing_rows(uninterrupted, interrupted, "*.monitor.csv") == 0
    evaluations = [np.load(folder / "evaluations.npz") for folder in (uninterrupted, interrupted)]
    assert len(evaluations[0]["timesteps"]) == STEPS // 120 // (2 if kind == "QLearning" else 1)
    for name in evaluations[0].files:
        assert (evaluations[0][name] == evaluations[1][name]).all()
    if kind != "QLearning":
        buffers = [deep_buffer(kind) for _ in range(2)]
        buffer_pairs = zip(
            *map(replay_buffer_arrays, (uninterrupted, interrupted), buffers), strict=True
        )
        assert sum(count_differing_bytes(a, b) for a, b in buffer_pairs) == 0
        assert (uninterrupted / "0.monitor.csv").read_text().count("\n") > 4  # games were over


def deep_buffer(kind: str) -> Any:
    from sb3_contrib import QRDQN
    from stable_baselines3 import DQN

    return deep(QRDQN if kind == "QRDQN" else DQN, breakout(None)).replay_buffer


@pytest.mark.parametrize("generator", ["numpy", "actions", "own_stream", "env"])
def test_detects_a_random_generator_that_is_not_restored(
    generator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted, interrupted = tmp_path / "uninterrupted", tmp_path / "interrupted"
    if generator == "own_stream":
        train("QLearning", uninterrupted)
        train("QLearning", interrupted, interrupt_at=INTERRUPT_AT)
        skip_restoring(generator, monkeypatch)
        resume_run("QLearning", interrupted)
    else:
        cartpole_trainings.learn(uninterrupted)
        cartpole_trainings.learn(interrupted, interrupt_at=cartpole_trainings.INTERRUPT_AT)
        skip_restoring(generator, monkeypatch)
        cartpole_trainings.resume_run(interrupted)
    differing, _ = count_differences(
        weights_and_optimizer(uninterrupted), weights_and_optimizer(interrupted)
    )
    others, _ = count_differences(other_numbers(uninterrupted), other_numbers(interrupted))
    assert differing + others > 0


def skip_restoring(generator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave one random generator in the state of a new process."""
    if generator == "numpy":
        write_all = snapshot.write_global_streams

        def without_one(state: dict[str, Any]) -> None:
            write_all({**state, "numpy": np.random.RandomState(1).get_state(legacy=False)})

        monkeypatch.setattr(snapshot, "write_global_streams", without_one)
        return
    if generator == "env":
        monkeypatch.setattr(env_state, "write_generator", lambda generator, state: None)
        return
    if generator == "actions":  # the model's are mostly those of its environments
        for name in ("write_space", "_write_one"):
            monkeypatch.setattr(vec_env_state, name, lambda *args: None)
    write_one = env_state.write_generator
    skipped = {"actions": 0, "own_stream": 1}[generator]
    calls: list[Any] = []

    def all_but_one(generator: np.random.Generator, state: Any) -> None:
        calls.append(generator)
        if len(calls) - 1 != skipped:
            write_one(generator, state)

    monkeypatch.setattr(snapshot, "write_generator", all_but_one)
