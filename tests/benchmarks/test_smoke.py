"""Smoke tests: each benchmark runs at toy size and ends with a line of JSON."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch as th
from optuna.storages import InMemoryStorage

from benchmarks import (
    env_throughput,
    envpool_side,
    native_pixels,
    q_learning,
    training_throughput,
    tuning_speed,
)
from sb3_atari_course.tuning.trial import prepare

TUNED = """CartPole-v1:
  policy: MlpPolicy
  n_timesteps: 300
  learning_starts: 100
  batch_size: 32
"""


class Runner:
    """Runs the ``main`` of a benchmark, and returns the JSON of its last line."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
    ) -> None:
        self.patch = monkeypatch.setattr
        self.folder = folder
        self._capsys = capsys

    def __call__(self, benchmark: str, *arguments: str) -> dict[str, Any]:
        n_threads = th.get_num_threads()
        self.patch(sys, "argv", [f"{benchmark}.py", *arguments])
        importlib.import_module(f"benchmarks.{benchmark}").main()
        th.set_num_threads(n_threads)
        result: dict[str, Any] = json.loads(self._capsys.readouterr().out.splitlines()[-1])
        return result


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Runner:
    return Runner(monkeypatch, capsys, tmp_path)


def positive(result: dict[str, Any]) -> bool:
    return all(value > 0 for value in result.values())


@pytest.mark.slow
def test_checkpoint_cost_is_the_share_of_training_time(run: Runner) -> None:
    result = run("checkpoint_cost", "--quick")
    assert 0 < result["seconds"] <= result["seconds_max"]
    assert result["share_of_time"] == pytest.approx(
        result["seconds"] * result["steps_per_second"] / 200, rel=0.1
    )


@pytest.mark.slow
def test_env_throughput_is_positive_without_envpool(run: Runner) -> None:
    def no_network() -> str:
        raise RuntimeError("no network")

    measure = env_throughput.measure
    run.patch(envpool_side, "find_python", no_network)
    run.patch(env_throughput, "measure", lambda plays, *_: measure(plays, 1, 320))
    assert positive(run("env_throughput", "--quick"))


@pytest.mark.slow
@pytest.mark.process
def test_evaluation_speed_is_positive_and_no_score_differs(run: Runner) -> None:
    size = ["--n-games", "3", "--n-rounds", "1", "--max-frames", "600"]
    result = run("evaluation_speed", *size)
    assert result.pop("scores_differing") == 0
    assert positive(result)


@pytest.mark.skipif(th.cuda.is_available(), reason="there is a GPU")
def test_gpu_training_exits_without_a_gpu(run: Runner) -> None:
    with pytest.raises(SystemExit):
        run("gpu_training")


def test_native_pixels_equal_grayscale_frames(run: Runner) -> None:
    run.patch(native_pixels, "GAMES", ("Pong",))
    assert run("native_pixels", "--quick")["equal_to_grayscale"] == {"Pong": 1.0}


@pytest.mark.slow
def test_q_learning_speeds_are_positive(run: Runner) -> None:
    measure = q_learning.measure_speed
    run.patch(q_learning, "measure_speed", lambda *_: measure(1, 800))
    result = run("q_learning", "--quick")
    assert positive(result)


@pytest.mark.slow
def test_replay_buffer_speed_is_within_100_times_that_of_sb3(run: Runner) -> None:
    result = run("replay_buffer", "--quick")
    assert 0.01 < result["sample_vs_sb3"] < 100
    assert 0.01 < result["add_vs_sb3_lz4"] < 100


@pytest.mark.slow
def test_training_throughput_is_positive(run: Runner) -> None:
    measure = training_throughput.measure
    run.patch(training_throughput, "measure", lambda sides, *_: measure(sides, 1, 40))
    assert positive(run("training_throughput", "--quick"))


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(
    ("experiment", "names", "rows"),
    [
        ("one-hour", [], ["ours", "RL Zoo's own"]),
        ("laptop-variants", ["half the updates"], ["half the updates"]),
        ("learning-curves", [], ["SB3's DQN", "FastDQN"]),
        ("cartpole-seeds", [], ["SB3's DQN", "FastDQN"]),
        ("other-environments", ["Pendulum-v1"], ["Pendulum-v1 dqn", "Pendulum-v1 td3"]),
    ],
)
def test_train_and_score_prints_a_row_per_configuration(
    run: Runner, experiment: str, names: list[str], rows: list[str]
) -> None:
    result = run("train_and_score", experiment, *names, "--quick", "--folder", str(run.folder))
    result.pop("fast_vs_sb3", None)
    assert list(result) == rows
    for row in result.values():
        assert row["scores"] == [row["mean"]]
        assert row["steps"][0] > 0


@pytest.mark.slow
@pytest.mark.process
def test_tuned_yml_scores_equal_files_equally_and_reuses_finished_runs(run: Runner) -> None:
    paths = [str(run.folder / f"{name}.yml") for name in ("a", "same")]
    for path in paths:
        Path(path).write_text(TUNED)
    size = ["--quick", "--seeds", "2", "--folder", str(run.folder / "runs")]
    results = run("train_and_score", "tuned-yml", *paths, *size)
    one, same = (results[path] for path in paths)
    assert one["scores"] == same["scores"]
    assert one["low"] < one["mean"] < one["high"]
    printed = {path: path.read_bytes() for path in run.folder.glob("runs/*/*/output.txt")}
    assert run("train_and_score", "tuned-yml", *paths, *size) == results
    assert all(path.read_bytes() == content for path, content in printed.items())
    assert len(printed) == 4


def test_bookkeeping_of_a_trial_takes_less_than_ten_seconds(run: Runner) -> None:
    prepare(native=False)
    assert 0 < tuning_speed.bookkeeping(InMemoryStorage(), run.folder, 3) < 10
