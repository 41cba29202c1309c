"""Evaluation in several processes: equal scores, errors, interruption."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import psutil
import pytest
import torch as th
import yaml
from stable_baselines3 import DQN

from sb3_atari_course.zoo import evaluation_workers
from sb3_atari_course.zoo.run_folder import Run, find_run
from tests.zoo.runs import ROOT

#: A module for --gym-packages.
PACKAGE = """
import gymnasium as gym
gym.register("Mine-v0", "gymnasium.envs.classic_control.cartpole:CartPoleEnv", max_episode_steps=99)
"""


class SlowSteps(gym.Wrapper[Any, Any, Any, Any]):
    """Wrapper that writes a line with the process for each step, and fails in a worker if asked."""

    def __init__(self, env: gym.Env[Any, Any], path: str, seconds: float, fails: str = "") -> None:
        super().__init__(env)
        self.path, self.seconds = path, seconds
        if fails and multiprocessing.parent_process() is not None:
            if fails == "dies":
                os._exit(3)
            raise OSError("no such game")

    def step(self, action: Any) -> Any:
        with open(self.path, "a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(self.seconds)
        return self.env.step(action)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return an untrained run of an environment that a module registers."""
    (tmp_path / "my_games_of_a_test.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = tmp_path / "dqn/Mine-v0_1/Mine-v0"
    settings.mkdir(parents=True)
    (settings / "config.yml").write_text(yaml.dump(wrapper(tmp_path, 0.0)))
    DQN("MlpPolicy", "CartPole-v1", buffer_size=1, seed=0).save(settings.parent / "Mine-v0")
    return find_run("dqn", "Mine-v0", tmp_path)


def wrapper(folder: Path, seconds: float, **more: Any) -> dict[str, Any]:
    kwargs = {"path": str(folder / "steps.txt"), "seconds": seconds, **more}
    return {"env_wrapper": [{f"{__name__}.SlowSteps": kwargs}]}


def evaluate(run: Run, folder: Path, seconds: float, n_workers: int, **more: Any) -> Any:
    run = replace(run, hyperparams=wrapper(folder, seconds, **more))
    return run.evaluate(
        seed=0,
        n_games=20,
        epsilon=0.1,
        n_envs=3,
        n_workers=n_workers,
        gym_packages=["my_games_of_a_test"],
        device="cpu",
    )


@pytest.mark.process
def test_scores_of_two_processes_are_those_of_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_workers, "DELAY", 0.0)
    expected = evaluate(run, tmp_path, 0.0, 1)
    (tmp_path / "steps.txt").unlink()
    n_threads = th.get_num_threads()
    report = evaluate(run, tmp_path, 0.02, 2)
    assert report == expected
    steps = (tmp_path / "steps.txt").read_text().split()
    assert len(set(steps)) == 2
    assert len(steps) >= sum(expected.lengths) + sum(expected.random_scores)
    assert th.get_num_threads() == n_threads
    assert not multiprocessing.active_children()


@pytest.mark.process
@pytest.mark.parametrize(
    ("fails", "error", "named"),
    [("dies", ValueError, "status 3.*n_workers=1"), ("raises", OSError, "no such game")],
)
def test_failing_worker_ends_the_evaluation(
    fails: str,
    error: type[Exception],
    named: str,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluation_workers, "DELAY", 0.0)
    with pytest.raises(error, match=named):
        evaluate(run, tmp_path, 0.02, 2, fails=fails)
    assert not multiprocessing.active_children()


def test_short_evaluation_starts_no_process(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr(evaluation_workers, "DELAY", 30.0)
    monkeypatch.setattr(evaluation_workers._Worker, "_serve", started.append)
    assert evaluate(run, tmp_path, 0.0, 3) == evaluate(run, tmp_path, 0.0, 1)
    assert not started


@pytest.mark.parametrize("n_workers", [0, 1.5])
def test_rejects_invalid_n_workers(n_workers: Any, run: Run, tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError), match="n_workers"):
        evaluate(run, tmp_path, 0.0, n_workers)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="requires process groups")
def test_ctrl_c_ends_all_processes_without_their_tracebacks(tmp_path: Path) -> None:
    agents = str(ROOT / "trained_agents")
    command = ["sb3_atari_course", "evaluate", "--algo", "dqn", "--env", "BreakoutNoFrameskip-v4"]
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "-f", agents, "-n", "1000", "--workers", "2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    family: list[psutil.Process] = []
    while len(family) < 3 and time.monotonic() < deadline:  # tracker, server, worker
        time.sleep(0.2)
        family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) == 3
    os.killpg(process.pid, signal.SIGINT)
    _, printed = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in printed
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
