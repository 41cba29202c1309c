"""The command ``tune`` with its worker processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
import yaml

from sb3_atari_course.tuning.storage import open_storage
from sb3_atari_course.tuning.study import find_study, status_of
from sb3_atari_course.zoo.run_folder import find_run
from tests.zoo.runs import ROOT, python_m

pytestmark = pytest.mark.services

ICE = ["tune", "--algo", "q_learning", "--env", "FrozenLake-v1", "-n", "1000"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a finished study."""
    folder = tmp_path_factory.mktemp("home")
    printed = python_m("sb3_atari_course", *ICE, "--n-trials", "3", "--workers", "2", cwd=folder)
    (folder / "printed.txt").write_text(printed)
    return folder


def study_in(home: Path, name: str = "q_learning_FrozenLake-v1") -> optuna.Study:
    return find_study(open_storage(None, home / "studies" / name), name)


def test_tune_finishes_a_study_and_writes_the_report(home: Path) -> None:
    printed = (home / "printed.txt").read_text()
    status = status_of(study_in(home))
    assert (status.finished, status.running) == (3, 0)
    assert "finished 3 of 3, running 0" in printed
    best = home / "studies/q_learning_FrozenLake-v1/best.yml"
    assert best.read_text() in printed
    assert "plots/param_importances.html" in printed


def test_best_yml_trains(home: Path) -> None:
    best = home / "studies/q_learning_FrozenLake-v1/best.yml"
    python_m(
        *("sb3_atari_course", "train", "--algo", "q_learning", "--env", "FrozenLake-v1"),
        *("-conf", str(best), "--eval-freq", "-1"),
        cwd=home,
    )
    run = find_run("q_learning", "FrozenLake-v1", home / "logs")
    assert run.hyperparams == yaml.safe_load(best.read_text())["FrozenLake-v1"]


def test_best_flag_prints_the_report_without_training(home: Path) -> None:
    best = home / "studies/q_learning_FrozenLake-v1/best.yml"
    before = best.read_text()
    best.unlink()
    printed = python_m("sb3_atari_course", *ICE[:5], "--best", cwd=home)
    assert best.read_text() == before
    assert before in printed
    assert status_of(study_in(home)).finished == 3


def test_larger_n_trials_extends_the_study(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "studies", tmp_path / "studies")
    python_m("sb3_atari_course", *ICE, "--n-trials", "4", cwd=tmp_path)
    assert status_of(study_in(tmp_path)).finished == 4
    assert status_of(study_in(home)).finished == 3


def test_ctrl_c_stops_the_workers_and_prints_how_to_resume(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sb3_atari_course", *ICE[:5], "-n", "100000000"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    logs = tmp_path / "studies/q_learning_FrozenLake-v1/workers"
    while not any("training" in path.read_text() for path in logs.glob("*.log")):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    printed = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "run the same command to resume" in printed
    assert "Traceback" not in printed
    status = status_of(study_in(tmp_path))
    assert (status.running, status.n_died) == (0, 1)


def test_study_without_complete_trial_prints_the_error(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "import gymnasium as gym\n"
        "class Broken(gym.Wrapper):\n"
        "    def step(self, action):\n"
        "        raise ValueError('no ice today')\n"
    )
    (tmp_path / "broken.yml").write_text(
        "FrozenLake-v1: {policy: QTablePolicy, learning_rate: 0.5, gamma: 0.9, exploration: 0.1,"
        " env_wrapper: broken.Broken}\n"
    )
    printed = python_m(
        *("sb3_atari_course", *ICE, "-conf", "broken.yml", "--only", "gamma"),
        cwd=tmp_path,
        status=2,
    )
    assert "trial 0 failed: ValueError: no ice today" in printed
    assert "study 'q_learning_FrozenLake-v1' has no complete trial: ValueError" in printed
    assert "Traceback" not in printed
    assert status_of(study_in(tmp_path)).finished == 0
