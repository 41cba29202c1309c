"""Command ``suite`` in this process: one line for an invalid argument, and nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sb3_atari_course import cluster
from sb3_atari_course.suite.suite_folder import SuiteFolder
from tests.suite.suites import suite, taxi
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


def test_missing_ray_is_reported_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    assert cli(*TAXI) == 2
    assert 'pip install "sb3_atari_course[cluster]"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
