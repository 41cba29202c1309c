"""Arguments shared by the commands: equal errors, two ways to choose a run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from sb3_atari_course.cli.parser import (
    CommandParser,
    add_model,
    add_parallel_games,
    add_run,
    chosen_model,
    n_workers,
    parse_run,
)
from tests.cli.untrained_agent import make_settings
from tests.zoo.runs import cli

#: Commands that take a run.
COMMANDS = ("evaluate", "plot", "publish", "resume", "enjoy", "record")
RUN = "logs/dqn/CartPole-v1_1"
CARTPOLE = ["--algo", "dqn", "--env", "CartPole-v1"]


@pytest.fixture(autouse=True)
def _run(_in_an_empty_folder: None) -> None:
    make_settings(Path(RUN))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["no run", "--algo and --env"]),
        (["--algo", "dqn"], ["no run", "--algo dqn"]),
        (["--exp-id", "1", "-f", "logs"], ["no run", "-f logs --exp-id 1"]),
        (["nowhere"], ["nowhere is not a folder"]),
        ([RUN, "--algo", "dqn"], ["both", RUN, "--algo dqn"]),
        ([RUN, "--exp-id", "0"], ["both", RUN, "--exp-id 0"]),
        ([RUN, "--exp-id"], ["--exp-id", "expected one argument"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_missing_run_gives_the_same_error_in_each_command(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = set()
    for command in COMMANDS:
        assert cli(command, *arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        lines.add(line.replace(f"sb3-atari {command}", "sb3-atari COMMAND"))
    (line,) = lines
    assert line.startswith("sb3-atari: error: ")
    for word in words:
        assert word in line


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([RUN, "--gym-packages", "nowhere"], ["--gym-packages nowhere"]),
        ([*CARTPOLE, "--gym-packages", "nowhere"], ["--gym-packages nowhere"]),
        ([*CARTPOLE, "-f", "nowhere"], ["nowhere/dqn", "-f"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_error_names_the_missing_package_or_folder(
    command: str, arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(command, *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    for word in words:
        assert word in line


@pytest.mark.parametrize("command", ["plot", "publish", "record"])
def test_log_folder_flag_with_a_run_folder_suggests_the_output_flag(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(command, RUN, "-f", "there") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "-f there" in line
    assert "-o" in line


@pytest.mark.parametrize(
    ("flag", "value", "commands"),
    [
        ("--device", "banana", ["evaluate", "publish", "resume", "record", "tune"]),
        ("--n-games", "0", ["evaluate", "publish", "tune"]),
        ("--n-games", "many", ["evaluate", "publish", "tune"]),
        ("--n-timesteps", "0", ["resume", "enjoy", "record", "tune"]),
        ("--seed", "-1", ["evaluate", "publish", "tune"]),
        ("--epsilon", "1.5", ["evaluate", "publish", "tune"]),
        ("--max-frames", "0", ["evaluate", "tune"]),
    ],
)
def test_invalid_value_gives_the_same_error_in_each_command(
    flag: str, value: str, commands: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = set()
    for command in commands:
        assert cli(command, *CARTPOLE, flag, value) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert flag in line
        lines.add(line.replace(command, "COMMAND").partition(": must be")[2])
        assert repr(value) in line
    assert len(lines) == 1


def chosen(*arguments: str) -> dict[str, Any]:
    parser = CommandParser("evaluate")
    add_run(parser)
    add_model(parser)
    return chosen_model(parse_run(parser, arguments))


def place(folder: str, algo: str, env_id: str, exp_id: int | str) -> dict[str, Any]:
    which = {"load_best": False, "load_checkpoint": None, "load_last_checkpoint": False}
    return {"algo": algo, "env_id": env_id, "folder": folder, "exp_id": exp_id, **which}


def test_only_algo_and_env_are_required() -> None:
    assert chosen(*CARTPOLE) == place("logs", "dqn", "CartPole-v1", 0)
    uuid = "3_28bf65b8-5e5b-4de1-b5da-3522d497669e"
    flags = ["-f", "my logs", "--exp-id", uuid, "--load-checkpoint", "5"]
    expected = place("my logs", "dqn", "CartPole-v1", uuid) | {"load_checkpoint": 5}
    assert chosen(*CARTPOLE, *flags) == expected
    assert chosen(*CARTPOLE, "--exp-id", "-1")["exp_id"] == -1


def test_run_folder_selects_the_same_run_as_the_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = place("logs", "dqn", "CartPole-v1", "1")
    assert chosen(RUN) == chosen(f"{RUN}/") == chosen("--load-best", RUN) | {"load_best": False}
    assert chosen(RUN) == expected
    logs = str(Path("logs").resolve())
    assert chosen(str(Path(RUN).resolve())) == expected | {"folder": logs}
    uuid = "2_28bf65b8-5e5b-4de1-b5da-3522d497669e"
    run = Path(f"my_logs/fast_dqn/ALE-Pong-v5_{uuid}")
    make_settings(run, "ALE-Pong-v5")
    (run / "ALE-Pong-v5/args.yml").write_text("env: ALE/Pong-v5\nenv_kwargs: null\n")
    assert chosen(str(run)) == place("my_logs", "fast_dqn", "ALE/Pong-v5", uuid)
    monkeypatch.chdir(RUN)
    assert chosen(".") == chosen("../CartPole-v1_1") == expected | {"folder": logs}


def test_rejects_folders_that_are_not_runs_of_rl_zoo() -> None:
    for folder in ("logs", "logs/dqn", f"{RUN}/CartPole-v1"):
        with pytest.raises(ValueError, match=f"^{folder} is not a run folder"):
            chosen(folder)
    for name in ("logs/dqn/renamed", "CartPole-v1_1"):
        shutil.copytree(RUN, name)
        with pytest.raises(ValueError, match=f"^{name} is not a run folder"):
            chosen(name)


def test_workers_are_by_default_the_cores_that_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 5}, raising=False)
    parser = CommandParser("evaluate")
    add_parallel_games(parser)
    assert n_workers(parser.parse_args([])) == 3
    assert n_workers(parser.parse_args(["--workers", "7"])) == 7
