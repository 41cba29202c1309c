"""Each benchmark runs from its first line to its last, at toy size: the last line is JSON."""

from __future__ import annotations

import importlib
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch as th
from optuna.storages import InMemoryStorage

from benchmarks import (
    another_world,
    cartpole_seeds,
    env_throughput,
    envpool_side,
    laptop_variants,
    learning_curves,
    native_pixels,
    one_hour,
    q_learning,
    training_throughput,
    tuned_yml,
    tuning_speed,
)
from benchmarks.another_world import World
from sb3_atari_course.hyperparams import load_hyperparams
from sb3_atari_course.tuning.trial import prepare

TUNED = """CartPole-v1:
  policy: MlpPolicy
  n_timesteps: 300
  learning_starts: 100
  batch_size: {batch_size}
"""


class Runner:
    """Runs the ``main`` of a benchmark and returns its last line."""

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
def test_another_world(run: Runner) -> None:
    run.patch(another_world, "WORLDS", [World("dqn", "Pendulum-v1", -150.0, 0.5, "TD3")])
    toy = ["--folder", str(run.folder), "--seeds", "1", "--games", "2", "--steps", "300"]
    result = run("another_world", *toy)["Pendulum-v1 dqn"]
    (evaluation,) = run.folder.glob("seed0/dqn/Pendulum-v1_1/evaluation.json")
    assert result["means"] == [round(json.loads(evaluation.read_text())["mean"], 2)]


@pytest.mark.slow
def test_cartpole_seeds(run: Runner) -> None:
    def short(yml: str) -> dict[str, Any]:
        entry = load_hyperparams(yml)["CartPole-v1"]
        return {"CartPole-v1": {**entry, "n_timesteps": 300}}

    run.patch(cartpole_seeds, "load_hyperparams", short)
    result = run("cartpole_seeds", "--seeds", "1")
    assert all(0 < one["final_mean"] <= 500 for one in result.values())


@pytest.mark.slow
def test_checkpoint_cost(run: Runner) -> None:
    result = run("checkpoint_cost", "--quick")
    assert 0 < result["seconds"] <= result["seconds_max"]
    assert result["share_of_time"] == pytest.approx(
        result["seconds"] * result["steps_per_second"] / 200, rel=0.1
    )


@pytest.mark.slow
def test_env_throughput(run: Runner) -> None:
    def no_network() -> str:
        raise RuntimeError("no network")

    measure = env_throughput.measure
    run.patch(envpool_side, "find_python", no_network)
    run.patch(env_throughput, "measure", lambda plays, *_: measure(plays, 1, 320))
    assert positive(run("env_throughput", "--quick"))


@pytest.mark.skipif(th.cuda.is_available(), reason="there is a GPU")
def test_gpu_training_without_a_gpu(run: Runner) -> None:
    with pytest.raises(SystemExit):
        run("gpu_training")


@pytest.mark.slow
def test_laptop_variants(run: Runner) -> None:
    run.patch(laptop_variants, "N_GAMES", 1)
    time = ["--minutes", "0.2", "--cores", "1", "--folder", str(run.folder)]
    result = run("laptop_variants", "half the updates", *time)
    assert result["half the updates"]["steps"] > 100


@pytest.mark.slow
def test_learning_curves(run: Runner) -> None:
    short = partial(learning_curves.evaluate_games, max_frames=400)
    run.patch(learning_curves, "evaluate_games", short)
    result = run("learning_curves", "--steps", "80", "--seeds", "1")
    assert set(result) == {"fast_vs_sb3"}  # not a number: no game ended so soon


def test_native_pixels(run: Runner) -> None:
    run.patch(native_pixels, "GAMES", ("Pong",))
    assert run("native_pixels", "--quick")["equal_to_grayscale"] == {"Pong": 1.0}


@pytest.mark.slow
def test_one_hour(run: Runner) -> None:
    run.patch(one_hour, "N_GAMES", 1)
    result = run("one_hour", "--minutes", "0.02", "--folder", str(run.folder))
    assert positive(result["steps"])


@pytest.mark.slow
def test_q_learning(run: Runner) -> None:
    measure = q_learning.measure_speed
    run.patch(q_learning, "measure_speed", lambda *_: measure(1, 800))
    result = run("q_learning", "--quick")
    assert positive(result)


@pytest.mark.slow
def test_replay_memory(run: Runner) -> None:
    result = run("replay_memory", "--quick")
    assert 0.01 < result["sample_vs_sb3"] < 100
    assert 0.01 < result["add_vs_sb3_lz4"] < 100


@pytest.mark.slow
def test_training_throughput(run: Runner) -> None:
    measure = training_throughput.measure
    run.patch(training_throughput, "measure", lambda sides, *_: measure(sides, 1, 40))
    assert positive(run("training_throughput", "--quick"))


@pytest.mark.slow
def test_tuned_yml(run: Runner) -> None:
    paths = [str(run.folder / f"{name}.yml") for name in ("a", "same")]
    for path in paths:
        Path(path).write_text(TUNED.format(batch_size=32))
    run.patch(tuned_yml, "N_GAMES", 2)
    results = run("tuned_yml", *paths, "--seeds", "2")
    assert results[paths[0]] == results[paths[1]]


def test_tuning_speed(run: Runner) -> None:
    prepare(native=False)
    assert 0 < tuning_speed.bookkeeping(InMemoryStorage(), run.folder, 3) < 10
