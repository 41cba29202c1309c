"""The benchmark of the small worlds: its verdict, what it trains, and that it goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import another_world
from benchmarks.another_world import GAMES_SEED, WORLDS, World, scored, summary

WORLD = World("dqn", "Pendulum-v1", -150.0, 0.5, "TD3")


def write_evaluation(run: Path, mean: float, *, n_games: int = 100, seed: int = GAMES_SEED) -> None:
    run.mkdir(parents=True)
    content = {"mean": mean, "protocol": {"n_games": n_games, "seed": seed}}
    (run / "evaluation.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("means", "mean", "error", "verdict"),
    [
        ([-149.0, -150.0, -148.0], -149.0, 0.58, "better"),
        ([-150.0, -150.0, -150.0], -150.0, 0.0, "better"),
        ([-149.0, -151.0, -153.0], -151.0, 1.15, "within"),  # 2 / sqrt(3) = 1.15
        ([-150.4], -150.4, 0.0, "within"),  # RL Zoo's own error
        ([-150.5, -151.0, -151.5], -151.0, 0.29, "below"),  # hypot(0.29, 0.5) = 0.58
        ([-149.7, -151.2, -151.5], -150.8, 0.56, "below"),  # hypot(0.56, 0.5) = 0.75
        ([-149.4, -150.9, -151.5], -150.6, 0.62, "within"),  # hypot(0.62, 0.5) = 0.80
        ([-151.0, -152.0, -153.0], -152.0, 0.58, "below"),
        ([-151.0], -151.0, 0.0, "below"),  # one seed has no spread to hide behind
    ],
)
def test_the_verdict_counts_one_standard_error_of_the_difference(
    means: list[float], mean: float, error: float, verdict: str
) -> None:
    row = summary(WORLD, means)
    assert (row["mean"], row["standard_error"], row["verdict"]) == (mean, error, verdict)
    assert row["means"] == means


def test_only_the_same_games_count_as_scored(tmp_path: Path) -> None:
    runs = tmp_path / "dqn"
    (runs / "Pendulum-v1_1").mkdir(parents=True)  # stopped in its training
    assert scored(WORLD, tmp_path, 100) is None
    write_evaluation(runs / "Pendulum-v1_2", -140.0, n_games=3)
    write_evaluation(runs / "Pendulum-v1_3", -140.0, seed=0)
    write_evaluation(runs / "MountainCar-v0_1", -140.0)
    assert scored(WORLD, tmp_path, 100) is None
    write_evaluation(runs / "Pendulum-v1_4", -140.0)
    assert scored(WORLD, tmp_path, 100) == runs / "Pendulum-v1_4"


def run_main(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> None:
    words = ["another_world.py", "--folder", str(folder), *arguments]
    monkeypatch.setattr(sys, "argv", words)
    another_world.main()


def test_what_was_scored_is_neither_trained_nor_scored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "seed1" / "td3" / "Pendulum-v1_1"
    for world in WORLDS:
        for seed in range(2):
            run = tmp_path / f"seed{seed}" / world.algo / f"{world.env_id}_1"
            if run != missing:
                write_evaluation(run, -100.0 - seed)
    trained = []

    def command(*words: str, folder: Path) -> None:
        trained.append((words[0], folder.name))
        if words[0] == "evaluate":
            write_evaluation(missing, -170.0)

    monkeypatch.setattr(another_world, "command", command)
    run_main(monkeypatch, tmp_path, "--seeds", "2")
    assert trained == [("train", "seed1"), ("evaluate", "seed1")]
    lines = capsys.readouterr().out.splitlines()
    results: dict[str, Any] = json.loads(lines[-1])
    assert list(results) == [world.name for world in WORLDS]
    assert results["Pendulum-v1 td3"]["means"] == [-100.0, -170.0]
    assert results["Pendulum-v1 td3"]["seconds"] == [None, 0.0]
    assert results["LunarLander-v3 dqn"]["verdict"] == "below"
    assert "-100.0 -170.0" in lines[3]


@pytest.mark.services
def test_it_trains_and_scores_through_our_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(another_world, "WORLDS", [WORLD])
    toy = ["--seeds", "1", "--games", "2", "--steps", "300"]
    run_main(monkeypatch, tmp_path, *toy)
    (evaluation,) = tmp_path.glob("seed0/dqn/Pendulum-v1_1/evaluation.json")
    content = json.loads(evaluation.read_text())
    protocol = {"n_games": 2, "seed": GAMES_SEED, "epsilon": 0.0, "max_steps": 200}
    assert content["protocol"] == protocol
    arguments = (evaluation.parent / "Pendulum-v1" / "args.yml").read_text()
    assert "n_timesteps\n    - 300" in arguments
    assert "num_threads\n    - 1" in arguments
    result = json.loads(capsys.readouterr().out.splitlines()[-1])["Pendulum-v1 dqn"]
    assert result["means"] == [round(content["mean"], 2)]
    assert result["seconds"][0] > 0
