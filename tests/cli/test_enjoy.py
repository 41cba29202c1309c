"""``enjoy``, and what it has in common with ``record``: which agent is played."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import rl_zoo3.enjoy

from tests.cli.playing import AGENT, CARTPOLE, RUN, make_agent
from tests.zoo.runs import cli

UUID_RUN = "CartPole-v1_2_28bf65b8-5e5b-4de1-b5da-3522d497669e"


@pytest.fixture(autouse=True)
def _agent(_in_an_empty_folder: None) -> None:
    make_agent()


@pytest.mark.parametrize("choice", [CARTPOLE, [str(RUN)], [f"{RUN}/"]], ids=" ".join)
def test_they_take_the_run_that_evaluate_takes(
    choice: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    commands = {
        "evaluate": (["-n", "1"], f"evaluated: {AGENT}"),
        "enjoy": (["-n", "5", "--no-render", "--seed", "3"], f"Loading {AGENT}"),
        "record": (["-n", "2", "--deterministic"], f"Loading {AGENT}"),
    }
    for command, (flags, expected) in commands.items():
        assert cli(command, *choice, *flags) == 0
        printed = capsys.readouterr()
        assert expected in printed.out.splitlines()
        passed_over = "CartPole-v1_2 has no model yet: taking CartPole-v1_1"
        assert (passed_over in printed.err) == (choice == CARTPOLE)
    (video,) = RUN.rglob("*.mp4")
    name = "final-model-dqn-CartPole-v1-step-0-to-step-2.mp4"
    assert video == RUN / "videos" / name
    assert [path.name for path in video.parent.iterdir()] == [name]
    assert f"video: {video}" in printed.out.splitlines()
    assert f"Saving video to {video.resolve()}" in printed.out.splitlines()
    assert ".part-" not in printed.out  # gone by now


@pytest.mark.parametrize("exp_id", ["0", UUID_RUN.removeprefix("CartPole-v1_"), "2"])
def test_a_run_of_uuid_is_enjoyed(exp_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("logs/dqn/CartPole-v1_2").rename(f"logs/dqn/{UUID_RUN}")
    shutil.copy(AGENT, f"logs/dqn/{UUID_RUN}")
    for choice in ([*CARTPOLE, "--exp-id", exp_id], [f"logs/dqn/{UUID_RUN}"]):
        assert cli("enjoy", *choice, "-n", "2", "--no-render") == 0
        printed = capsys.readouterr()
        assert f"Loading logs/dqn/{UUID_RUN}/CartPole-v1.zip" in printed.out
        assert printed.err == ""


@pytest.mark.parametrize("command", ["enjoy", "record"])
@pytest.mark.parametrize("flag", [["--nonsense"], ["--seed", "many"]], ids=" ".join)
def test_what_rl_zoo_does_not_know_is_refused_by_it(
    command: str, flag: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(command, str(RUN), "--no-render", *flag) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"sb3-atari {command}: error: ")
    assert flag[-1] in line
    assert not list(Path().rglob("videos"))


@pytest.mark.parametrize(
    "which",
    [
        ["-f", "nowhere"],
        ["--exp-id", "2"],
        ["--exp-id", "7"],
        ["--load-best"],
        ["--load-checkpoint", "500"],
        ["--env", "CartPol-v1"],
        ["--algo", "alphago"],
    ],
    ids=" ".join,
)
def test_an_agent_that_is_not_there_is_refused_as_by_evaluate(
    which: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = set()
    for command in ("evaluate", "enjoy", "record"):
        assert cli(command, *CARTPOLE, *which) == 2
        said.add(capsys.readouterr().err)
    (line,) = said
    assert line.count("\n") == 1


@pytest.mark.parametrize("command", ["enjoy", "record"])
@pytest.mark.parametrize("flags", [["-n", "0"], ["-n", "-1"], ["--n-envs", "0"]], ids=" ".join)
def test_lengths_below_one_are_refused(
    command: str, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(command, *CARTPOLE, *flags) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert flags[1] in line
    assert not list(Path().rglob("videos"))


@pytest.mark.parametrize("command", ["enjoy", "record"])
def test_arguments_without_env_kwargs_are_refused(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = AGENT.parent / "CartPole-v1/args.yml"
    path.write_text("algo: dqn\n")
    assert cli(command, *CARTPOLE) == 2
    assert str(path) in capsys.readouterr().err


def test_a_run_without_its_settings_is_refused_as_by_evaluate(
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = AGENT.parent / "CartPole-v1/config.yml"
    config.unlink()
    said = set()
    for command in ("evaluate", "enjoy", "record"):
        assert cli(command, *CARTPOLE, "--exp-id", "1") == 2
        said.add(capsys.readouterr().err)
    (line,) = said
    assert line.count("\n") == 1
    assert str(config) in line


def test_agents_of_rl_zoo_are_downloaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def download(**kwargs: Any) -> None:
        asked.append([kwargs[name] for name in ("algo", "env_name", "folder", "exp_id")])
        shutil.copytree("logs", kwargs["folder"])
        for name in ("best_model", "rl_model_50_steps", "rl_model_70_steps"):
            shutil.copy(AGENT, f"{kwargs['folder']}/dqn/CartPole-v1_1/{name}.zip")

    monkeypatch.setattr(rl_zoo3.enjoy, "download_from_hub", download)
    where = ["-f", "rl-trained-agents", "--exp-id", "1", "-n", "2", "--no-render"]
    for flags, name in (
        ([], "CartPole-v1"),
        (["--load-best"], "best_model"),
        (["--load-checkpoint", "50"], "rl_model_50_steps"),
        (["--load-last-checkpoint"], "rl_model_70_steps"),
    ):
        assert cli("enjoy", *CARTPOLE, *where, *flags) == 0
        assert asked.pop() == ["dqn", "CartPole-v1", "rl-trained-agents", 1]
        loaded = f"Loading rl-trained-agents/dqn/CartPole-v1_1/{name}.zip"
        assert loaded in capsys.readouterr().out
        shutil.rmtree("rl-trained-agents")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="always has a display")
def test_a_window_needs_a_display(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    assert cli("enjoy", *CARTPOLE, "-n", "2") == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "--no-render" in line
    assert "record" in line
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    assert cli("enjoy", *CARTPOLE, "-n", "2") == 0


def test_a_display_that_is_gone_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SDL draws off screen then."""
    pygame = pytest.importorskip("pygame")
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    monkeypatch.setenv("DISPLAY", ":77")
    monkeypatch.setattr(pygame.display, "init", lambda: None)
    monkeypatch.setattr(pygame.display, "get_driver", lambda: "offscreen")
    assert cli("enjoy", *CARTPOLE, "-n", "2") == 2
    assert "--no-render" in capsys.readouterr().err

    def refuse() -> None:
        raise pygame.error("x11 not available")

    monkeypatch.setattr(pygame.display, "init", refuse)
    assert cli("enjoy", *CARTPOLE, "-n", "2") == 2
    assert "x11 not available" in capsys.readouterr().err
