"""The ``resume`` command after trainings were stopped by signals and kills."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.run_differences import (
    count_differences,
    differing_rows,
    other_numbers,
    weights_and_optimizer,
)
from tests.zoo.runs import python_m, start

pytestmark = pytest.mark.services

GAME = "BreakoutNoFrameskip-v4"
YML = """
BreakoutNoFrameskip-v4:
  policy: CnnPolicy
  env_wrapper:
    - sb3_atari_course.envs.wrap_atari: {shape: [40, 40]}
    - sb3_atari_course.checkpoints.SavableEnv
  frame_stack: 4
  n_envs: 2
  n_timesteps: 400
  buffer_size: 300
  learning_starts: 60
  train_freq: 4
  callback: [{sb3_atari_course.checkpoints.ExactCheckpoint: {every: 60}}]
"""


def events(run: Path) -> list[dict[str, Any]]:
    log = run / "checkpoints" / "log.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def stop(process: subprocess.Popen[str], run: Path, number: int, *, after: int) -> str:
    """Send a signal after ``after`` checkpoints were written; return the output."""
    while process.poll() is None:
        if sum(event["event"] == "written" for event in events(run)) >= after:
            process.send_signal(number)
            break
        time.sleep(0.02)
    printed, _ = process.communicate(timeout=100)
    return printed


def assert_same(a: Path, b: Path) -> None:
    n_bytes, _ = count_differences(weights_and_optimizer(a), weights_and_optimizer(b))
    _, places = count_differences(other_numbers(a), other_numbers(b))
    assert (n_bytes, places) == (0, [])
    assert differing_rows(a, b, "*.monitor.csv") == 0
    assert (a / "0.monitor.csv").read_text().count("\n") >= 2


def kill_and_resume(*arguments: str) -> dict[str, Any]:
    printed = python_m("benchmarks.kill_and_resume", *arguments)
    result: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return result


def test_killed_breakout_training_matches_an_uninterrupted_one() -> None:
    result = kill_and_resume("--steps", "1200", "--kills", "4")
    assert result["kills"] == 4
    for name in ("bytes", "memory_rows", "monitor_rows", "log_rows", "states"):
        assert result[f"{name}_differing"] == 0, result
    assert 0 < result["checkpoint_share_of_time"] < 1


def test_killed_taxi_training_matches_an_uninterrupted_one() -> None:
    result = kill_and_resume("--taxi", "--steps", "80000", "--kills", "4")
    assert result["kills"] == 4
    for name in ("bytes", "monitor_rows", "log_rows", "states"):
        assert result[f"{name}_differing"] == 0, result


def test_benchmark_detects_a_generator_that_is_not_restored() -> None:
    result = kill_and_resume("--steps", "1200", "--kills", "1", "--forget", "numpy")
    assert result["kills"] == 1
    assert result["bytes_differing"] > 0


def test_stock_rl_zoo_training_with_the_callback_in_its_yml_resumes_exactly(tmp_path: Path) -> None:
    (tmp_path / "dqn.yml").write_text(YML)
    command = ["rl_zoo3.train", "--algo", "dqn", "--env", GAME, "-conf", "dqn.yml", "--seed", "2"]
    command += ["--eval-freq", "150", "--eval-episodes", "1", "--num-threads", "1"]
    uninterrupted, stopped = (
        tmp_path / name / "dqn" / f"{GAME}_1" for name in ("uninterrupted", "stopped")
    )
    python_m(*command, "-f", "uninterrupted", cwd=tmp_path)
    process = start(*command, "-f", "stopped", "--vec-env", "subproc", cwd=tmp_path)
    printed = stop(process, stopped, signal.SIGTERM, after=3)
    assert process.returncode == 0
    assert "SIGTERM: stopping after this rollout" in printed
    (tmp_path / "dqn.yml").unlink()  # its settings are saved in the run folder
    printed = python_m("sb3_atari_course", "resume", f"stopped/dqn/{GAME}_1", cwd=tmp_path)
    assert "Resumed at step" in printed
    assert "new episode" not in printed
    n_bytes, _ = count_differences(
        weights_and_optimizer(uninterrupted), weights_and_optimizer(stopped)
    )
    assert n_bytes == 0  # with and without worker processes
    assert differing_rows(uninterrupted, stopped, "*.monitor.csv") == 0
    # RL Zoo can continue from the folder too
    (tmp_path / "dqn.yml").write_text(YML)
    again = ["-i", str(stopped / f"{GAME}.zip"), "-n", "100", "-f", "again"]
    assert "Saving to" in python_m(*command, *again, cwd=tmp_path)


def test_train_resumes_exactly_after_ctrl_c_with_worker_processes(tmp_path: Path) -> None:
    (tmp_path / "dqn.yml").write_text(YML.replace("  callback:", "  # callback:"))
    command = ["sb3_atari_course", "train", "--algo", "fast_dqn", "--env", GAME, "-f", "logs"]
    command += ["-conf", "dqn.yml", "--seed", "2", "--eval-freq", "150", "--eval-episodes", "1"]
    command += ["--num-threads", "1", "--vec-env", "subproc"]
    run = tmp_path / "logs" / "fast_dqn" / f"{GAME}_1"
    process = start(*command, "--checkpoint-freq", "60", cwd=tmp_path)
    printed = stop(process, run, signal.SIGINT, after=3)
    assert process.returncode == 130
    resume = f"python -m sb3_atari_course resume logs/fast_dqn/{GAME}_1"
    assert resume in printed
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    printed = python_m(*command, "-n", "80", "--checkpoint-freq=0", cwd=tmp_path)
    assert f"is unfinished ({events(run)[-1]['step']:,} of 400 steps). To resume it" in printed
    assert resume in printed
    assert (run.parent / f"{GAME}_2").is_dir()
    assert not (run.parent / f"{GAME}_2" / "checkpoints").exists()
    now = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    assert {path.name for path in now if now[path] != before[path]} <= {"lock"}
    python_m("sb3_atari_course", "resume", str(run), cwd=tmp_path)
    uninterrupted = tmp_path / "uninterrupted"
    command[command.index("logs")] = "uninterrupted"
    python_m(*command, "--checkpoint-freq", "60", cwd=tmp_path)
    assert_same(uninterrupted / "fast_dqn" / f"{GAME}_1", run)


def test_native_environments_lose_only_their_unfinished_episodes(tmp_path: Path) -> None:
    command = ["sb3_atari_course", "train", "--algo", "fast_dqn", "--env", GAME, "-f", "logs"]
    command += ["--vec-env", "native", "-n", "1500", "--seed", "2", "--num-threads", "1"]
    command += ["--eval-freq", "-1", "--checkpoint-freq", "200", "-params", "n_envs:2"]
    command += ["buffer_size:1000", "learning_starts:300"]
    run = tmp_path / "logs" / "fast_dqn" / f"{GAME}_1"
    process = start(*command, cwd=tmp_path)
    stop(process, run, signal.SIGKILL, after=4)
    assert process.returncode == -signal.SIGKILL
    printed = python_m("sb3_atari_course", "resume", str(run), cwd=tmp_path)
    envs = "environment 0 of the training and environment 1 of the training"
    assert f"new episode (not bit-identical) in {envs}: ale-py's native emulators" in printed
    (resumed,) = (event for event in events(run) if event["event"] == "resumed")
    assert resumed["step"] >= 800
    assert list(resumed["new_episodes"]) == [
        "environment 0 of the training",
        "environment 1 of the training",
    ]
    assert events(run)[-1]["step"] >= 1500
    for monitor in run.glob("*.monitor.csv"):
        text = monitor.read_text()
        assert text.count("#") == 1
        lengths = [int(line.split(",")[1]) for line in text.splitlines()[2:]]
        assert all(length > 0 for length in lengths)
