"""``tune`` as typed: one study from beginning to end, and a line for each wrong argument."""

from __future__ import annotations

import importlib.util
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

from sb3_atari_course.runs import find_run
from sb3_atari_course.tuning.storage import open_storage
from sb3_atari_course.tuning.study import find_study, standing_of
from tests.zoo_runs import ROOT, cli, python_m

ICE = ["tune", "--algo", "q_learning", "--env", "FrozenLake-v1", "-n", "1000"]
CARTPOLE = ["tune", "--algo", "dqn", "--env", "CartPole-v1"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a finished study and another one that stock RL Zoo began."""
    folder = tmp_path_factory.mktemp("home")
    printed = python_m("sb3_atari_course", *ICE, "--n-trials", "3", "--workers", "2", cwd=folder)
    (folder / "printed.txt").write_text(printed)
    return folder


def study_in(home: Path, name: str = "q_learning_FrozenLake-v1") -> optuna.Study:
    return find_study(open_storage(None, home / "studies" / name), name)


def test_a_study_from_beginning_to_end(home: Path) -> None:
    printed = (home / "printed.txt").read_text()
    standing = standing_of(study_in(home))
    assert (standing.finished, standing.running) == (3, 0)
    assert "finished 3 of 3, running 0" in printed
    best = home / "studies/q_learning_FrozenLake-v1/best.yml"
    assert best.read_text() in printed
    assert "plots/param_importances.png" in printed


def test_the_best_yml_trains(home: Path) -> None:
    best = home / "studies/q_learning_FrozenLake-v1/best.yml"
    python_m(
        *("sb3_atari_course", "train", "--algo", "q_learning", "--env", "FrozenLake-v1"),
        *("-conf", str(best), "--eval-freq", "-1"),
        cwd=home,
    )
    run = find_run("q_learning", "FrozenLake-v1", home / "logs")
    assert run.hyperparams == yaml.safe_load(best.read_text())["FrozenLake-v1"]


def test_best_prints_it_again_and_trains_nothing(home: Path) -> None:
    best = home / "studies/q_learning_FrozenLake-v1/best.yml"
    before = best.read_text()
    best.unlink()
    printed = python_m("sb3_atari_course", *ICE[:5], "--best", cwd=home)
    assert best.read_text() == before
    assert before in printed
    assert standing_of(study_in(home)).finished == 3


def test_the_same_command_with_more_trials_goes_on(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "studies", tmp_path / "studies")
    python_m("sb3_atari_course", *ICE, "--n-trials", "4", cwd=tmp_path)
    assert standing_of(study_in(tmp_path)).finished == 4
    assert standing_of(study_in(home)).finished == 3


def test_a_finished_study_starts_no_worker(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    logs = sorted((home / "studies/q_learning_FrozenLake-v1/workers").iterdir())
    assert cli(*ICE) == 0
    printed = capsys.readouterr().out
    assert "all trials are finished; a larger --n-trials extends the study" in printed
    assert sorted((home / "studies/q_learning_FrozenLake-v1/workers").iterdir()) == logs


def test_ctrl_c_ends_the_workers_and_says_how_to_go_on(tmp_path: Path) -> None:
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
    while not any("trains" in path.read_text() for path in logs.glob("*.log")):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    printed = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "stopped; the same command goes on, and --best shows what there is" in printed
    assert "Traceback" not in printed
    standing = standing_of(study_in(tmp_path))
    assert (standing.running, standing.n_died) == (0, 1)


def test_a_study_in_which_nothing_works_says_why(tmp_path: Path) -> None:
    printed = python_m(
        *("sb3_atari_course", *ICE, "--param", "learning_rate=[2.0, 3.0]"),
        *("learning_rate_schedule=constant", "--n-startup-trials", "0"),
        cwd=tmp_path,
        status=2,
    )
    assert "trial 0 failed: ValueError: learning_rate must lie in (0, 1], got" in printed
    assert "study 'q_learning_FrozenLake-v1' has no complete trial: ValueError" in printed
    assert "Traceback" not in printed
    assert standing_of(study_in(tmp_path)).finished == 0


def test_parameters_are_listed() -> None:
    printed = python_m("sb3_atari_course", *CARTPOLE, "--list-params", "--freeze", "gamma")
    rows = {line.split()[0]: line for line in printed.splitlines()}
    assert "[64, 128, 256]" in rows["batch_size"]
    assert "[" not in rows["gamma"]
    assert "crop" not in rows
    assert "double_q" not in rows


def test_a_missing_extra_is_told_before_a_night_of_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "plotly" else find(name)
    )
    assert cli(*CARTPOLE) == 2
    assert 'pip install "sb3_atari_course[tune]"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([*CARTPOLE, "--param", "gama=0.9"], "unknown parameter 'gama' of dqn: did you mean"),
        ([*CARTPOLE, "--param", "gamma"], "--param wants NAME=VALUES"),
        ([*CARTPOLE, "--space", "unknown.yml"], "unknown parameter 'gravity' of dqn"),
        ([*CARTPOLE, "--space", "nowhere.yml"], "cannot read the space file nowhere.yml"),
        ([*CARTPOLE, "--param", "crop=[null,[30,195,5,155]]"], "needs sb3_atari_course.envs.wrap"),
        ([*CARTPOLE, "--storage", "postgresql://me:pw@127.0.0.1:9/x"], "cannot open postgresql"),
        ([*CARTPOLE, "--storage", "sqlite:///x.db", "--workers", "2"], "SQLite locks the whole"),
        ([*CARTPOLE, "-f", "file"], "cannot write into file/dqn_CartPole-v1: Not a directory"),
        ([*CARTPOLE, "--best"], "there is no journal studies/dqn_CartPole-v1/journal.log"),
        ([*CARTPOLE, "--study-name", "q_learning_FrozenLake-v1"],
         "is of q_learning on FrozenLake-v1, not dqn on CartPole-v1: choose another --study-name"),
        ([*ICE, "--seed", "3"], "was begun with seed 0, not 3"),
        ([*ICE, "--n-trials", "1"], "trials to do, fewer is not possible"),
        ([*ICE, "--n-trials", "0"], "n_trials must be at least 1, got 0"),
        ([*CARTPOLE, "-n", "100"], "nothing would be learned: add --param learning_starts=10"),
        ([*CARTPOLE, "--workers", "0"], "workers must be"),
        ([*CARTPOLE, "--epsilon", "2"], "epsilon is a probability, 0 to 1, got 2.0"),
        ([*CARTPOLE[:3], "--env", "CartPol-v1"], "did you mean 'CartPole-v1'?"),
        (["tune", "--algo", "ppo", "--env", "CartPole-v1"], "invalid choice: 'ppo'"),
        ([*ICE[:3], "--env", "BreakoutNoFrameskip-v4"], "no table has a row for each screen"),
        ([*CARTPOLE, "--freeze", *["net_arch", "learning_rate_schedule", "learning_rate", "gamma"],
          *["n_steps", "batch_size", "train_freq", "updates_per_step", "target_update_interval"],
          *["buffer_size", "learning_starts", "exploration_fraction", "exploration_final_eps"]],
         "nothing is left to tune"),
    ],
    ids=lambda value: " ".join(value[3:])[:50] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_wrong_argument_gives_one_clear_line(
    home: Path,
    arguments: list[str],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(home)
    (home / "file").touch()
    (home / "unknown.yml").write_text("default:\n  gravity: [9.81, 1.62]\n")
    begun = time.monotonic()
    assert cli(*arguments) == 2
    assert time.monotonic() - begun < 10
    printed = capsys.readouterr().err
    assert expected in printed
    assert "Traceback" not in printed
    assert printed.splitlines()[-1].startswith("sb3-atari")
