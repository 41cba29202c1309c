"""Command ``suite`` in this process: one line for an invalid argument, and nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sb3_atari_course import cluster
from sb3_atari_course.cluster import Ended
from sb3_atari_course.report import run_data
from sb3_atari_course.suite import suite_report
from sb3_atari_course.suite.suite_file import EvaluationSettings
from sb3_atari_course.suite.suite_folder import SuiteFolder
from tests.suite.suites import suite, taxi
from tests.suite.test_suite_folder import ended_run, score
from tests.zoo.runs import cli

TAXI = ["suite", "--algo", "q_learning", "--env", "Taxi-v4", "--seeds", "1"]
FILE = "algos: [q_learning]\nenvs: [Taxi-v4]\nseeds: [1]\n"


class NoCluster:
    """Cluster that must not be started."""

    def __init__(self, *arguments: Any, **kwargs: Any) -> None:
        pytest.fail("a cluster would be started")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["suite"], "no runs: give SUITE.yml, or --algo, --env and --seeds"),
        (TAXI[:3], "no runs: give SUITE.yml, or --algo, --env and --seeds"),
        (["suite", "good.yml", *TAXI[1:]], "SUITE.yml and --algo: choose one"),
        (["suite", "good.yml", "-n", "9"], "SUITE.yml and --n-timesteps: choose one"),
        (["suite", "--report", "--seeds", "1"], "--report and --seeds: choose one"),
        (["suite", "--report", "-f", "empty"], "empty is not a suite: pass its folder with -f"),
        (["suite", "nowhere.yml"], "nowhere.yml cannot be read: No such file or directory"),
        (["suite", "empty"], "empty cannot be read: Is a directory"),
        (["suite", "key.yml"], "key.yml: unknown key 'seed', did you mean 'seeds'"),
        (["suite", "list.yml"], "list.yml must be a mapping"),
        (["suite", "tabs.yml"], "tabs.yml cannot be read"),
        (["suite", "--algo", "ppo", *TAXI[3:]], "unknown algorithm 'ppo'"),
        ([*TAXI[:3], "--env", "Taxi-v44", "--seeds", "1"], "unknown environment 'Taxi-v44'"),
        ([*TAXI[:-1], "0"], "--seeds: must be an integer, at least 1, got '0'"),
        ([*TAXI, "-n", "0"], "must be an integer, at least 1, got '0'"),
        ([*TAXI, "-params", "gama:0.9"], "gama"),
        ([*TAXI, "-params", "gamma"], "gamma"),
        ([*TAXI, "--env-kwargs", "gravity:9"], "gravity"),
        ([*TAXI, "-conf", "nowhere.yml"], "nowhere.yml"),
        ([*TAXI, "--gym-packages", "nowhere"], "--gym-packages nowhere: No module"),
        ([*TAXI, "--vec-env", "threads"], "invalid choice: 'threads'"),
        ([*TAXI, "--cpus", "0"], "--cpus: must be a number, at least 0.01, got '0'"),
        ([*TAXI, "--gpus", "1.5"], "--gpus: must be a fraction of one GPU, or a whole number"),
        ([*TAXI, "--gpus", "-1"], "--gpus: must be a number, at least 0, got '-1'"),
        ([*TAXI, "--checkpoint-freq", "0"], "must be an integer, at least 1, got '0'"),
        ([*TAXI, "-f", "cut"], "suite.json cannot be read"),
        ([*TAXI, "-f", "old"], "n_timesteps 160000 instead of 400"),
    ],
    ids=lambda value: " ".join(value)[-40:] if isinstance(value, list) else "",
)
def test_invalid_argument_prints_one_line(
    arguments: Sequence[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "good.yml").write_text(FILE)
    (tmp_path / "key.yml").write_text(FILE.replace("seeds", "seed"))
    (tmp_path / "list.yml").write_text("- algos\n")
    (tmp_path / "tabs.yml").write_text("\talgos: [dqn]\n")
    SuiteFolder(tmp_path / "old").add(suite(taxi()))
    SuiteFolder(tmp_path / "cut").add(suite(taxi()))
    (tmp_path / "cut" / "suite.json").write_text('{"format": 1, "ru')
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    monkeypatch.setattr(cluster, "Cluster", NoCluster)
    assert cli(*arguments) == 2
    printed = capsys.readouterr()
    assert expected in printed.err
    assert len(printed.err.splitlines()) == 1
    assert printed.out == ""
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


class FailingTask:
    """Task that has failed."""

    def poll(self) -> Ended:
        return Ended(error=ValueError("no memory"))


class FailingCluster:
    """Cluster on which every run fails."""

    def __init__(self, *arguments: Any, **kwargs: Any) -> None: ...

    def __enter__(self) -> FailingCluster:
        return self

    def __exit__(self, *exception: object) -> None: ...

    def check_request(self, **request: float) -> None: ...

    def check_folder(self, folder: Path) -> None: ...

    def n_slots(self, **request: float) -> int:
        return 1

    def start(self, *arguments: Any, **request: float) -> FailingTask:
        return FailingTask()


def test_suite_without_a_finished_run_ends_with_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "Cluster", FailingCluster)
    assert cli(*TAXI, "-f", "new") == 1
    printed = capsys.readouterr()
    assert "q_learning Taxi-v4 seed 1 failed: ValueError: no memory" in printed.out
    assert printed.err == ""


def test_flags_add_runs_and_keep_the_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "Cluster", FailingCluster)
    folder = SuiteFolder(tmp_path / "old")
    stored = folder.add(replace(suite(taxi()), evaluation=EvaluationSettings(7, 8, 0.5)))
    more = ["suite", "--algo", "dqn", "--env", "CartPole-v1", "--seeds", "1", "-f", "old"]
    assert cli(*more) == 1
    settings = folder.settings()
    assert settings is not None
    assert settings.evaluation == stored.evaluation
    assert [run.algo for run in settings.runs] == ["q_learning", "dqn"]


def test_refused_command_leaves_the_settings_of_a_running_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "Cluster", FailingCluster)
    folder = SuiteFolder(tmp_path / "old")
    stored = folder.add(suite(taxi()))
    more = ["suite", "--algo", "dqn", "--env", "CartPole-v1", "--seeds", "1", "-f", "old"]
    with folder.locked():
        assert cli(*more) == 2
    assert "another command runs the suite" in capsys.readouterr().err
    assert folder.settings() == stored


def test_report_of_a_running_suite_evaluates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "Cluster", NoCluster)
    folder = SuiteFolder(tmp_path / "old")
    folder.add(suite(taxi()))
    ended_run(folder, taxi())
    with folder.locked():
        assert cli("suite", "--report", "-f", "old") == 2
    printed = capsys.readouterr()
    assert "the suite is running" in printed.out
    assert "no finished run yet" in printed.err


def test_report_knows_the_environments_of_the_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_taxi.py").write_text(
        "import gymnasium\n"
        "if 'MyTaxi-v1' not in gymnasium.registry:\n"
        "    entry = 'gymnasium.envs.toy_text.taxi:TaxiEnv'\n"
        "    gymnasium.register('MyTaxi-v1', entry_point=entry)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    run = replace(taxi(), env_id="MyTaxi-v1")
    folder = SuiteFolder(tmp_path / "old")
    folder.add(replace(suite(run), gym_packages=("my_taxi",)))
    ended_run(folder, run)
    score(folder, run)
    monkeypatch.setattr(suite_report, "write_suite_report", lambda folders, *_, **__: folders)
    assert cli("suite", "--report", "-f", "old") == 0
    assert f"report: {folder.run(run)}" in capsys.readouterr().out


def test_missing_ray_is_reported_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (cluster, run_data):  # the extra "cluster" includes the one of reports
        monkeypatch.setattr(module, "find_spec", lambda _: None)
    assert cli(*TAXI) == 2
    assert 'pip install "sb3_atari_course[cluster]"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
