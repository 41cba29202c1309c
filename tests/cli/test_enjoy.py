"""Command ``enjoy``, and the choice of the agent that it shares with ``record``."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.cli.untrained_agent import AGENT, CARTPOLE, RUN, make_agent
from tests.zoo.runs import cli

UUID_RUN = "CartPole-v1_2_28bf65b8-5e5b-4de1-b5da-3522d497669e"


@pytest.fixture(autouse=True)
def _agent(_in_an_empty_folder: None) -> None:
    make_agent()


@pytest.mark.parametrize("choice", [CARTPOLE, [str(RUN)]], ids=" ".join)
def test_enjoy_and_record_use_the_run_that_evaluate_uses(
    choice: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    commands = {
        "evaluate": (["-n", "1"], f"({AGENT})"),
        "enjoy": (["-n", "5", "--no-render", "--seed", "3"], f"Loading {AGENT}"),
        "record": (["-n", "2", "--deterministic"], f"Loading {AGENT}"),
    }
    for command, (flags, expected) in commands.items():
        assert cli(command, *choice, *flags) == 0
        printed = capsys.readouterr()
        assert expected in printed.out + printed.err
        passed_over = "CartPole-v1_2 has no model yet: using CartPole-v1_1"
        assert (passed_over in printed.err) == (choice == CARTPOLE)
    (video,) = RUN.rglob("*.mp4")
    name = "final-model-dqn-CartPole-v1-step-0-to-step-2.mp4"
    assert video == RUN / "videos" / name
    assert [path.name for path in video.parent.iterdir()] == [name]
    assert f"video: {video}" in printed.out.splitlines()


@pytest.mark.parametrize("exp_id", ["0", UUID_RUN.removeprefix("CartPole-v1_"), "2"])
def test_finds_runs_with_uuid(exp_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("logs/dqn/CartPole-v1_2").rename(f"logs/dqn/{UUID_RUN}")
    shutil.copy(AGENT, f"logs/dqn/{UUID_RUN}")
    for choice in ([*CARTPOLE, "--exp-id", exp_id], [f"logs/dqn/{UUID_RUN}"]):
        assert cli("enjoy", *choice, "-n", "2", "--no-render") == 0
        printed = capsys.readouterr()
        assert f"Loading logs/dqn/{UUID_RUN}/CartPole-v1.zip" in printed.out
        assert printed.err == ""


@pytest.mark.parametrize("command", ["enjoy", "record"])
@pytest.mark.parametrize("flag", [["--nonsense"], ["--seed", "many"], ["-n", "0"]], ids=" ".join)
def test_rejects_invalid_flags(
    command: str, flag: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(command, str(RUN), "--no-render", *flag) == 2
    assert flag[-1] in capsys.readouterr().err.splitlines()[-1]
    assert not list(Path().rglob("*.mp4"))


@pytest.mark.parametrize(
    "which",
    [
        *(["-f", "nowhere"], ["--exp-id", "2"], ["--exp-id", "7"], ["--load-best"]),
        *(["--load-checkpoint", "500"], ["--env", "CartPol-v1"], ["--algo", "alphago"]),
        ["--exp-id", "1", "--load-last-checkpoint"],  # whose settings are missing
    ],
    ids=" ".join,
)
def test_missing_agent_gives_the_same_error_in_each_command(
    which: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    if "--load-last-checkpoint" in which:
        shutil.copy(AGENT, AGENT.with_name("rl_model_9_steps.zip"))
        (RUN / "CartPole-v1/config.yml").unlink()
    messages = set()
    for command in ("evaluate", "enjoy", "record"):
        assert cli(command, *CARTPOLE, *which) == 2
        messages.add(capsys.readouterr().err)
    (line,) = messages
    assert line.count("\n") == 1


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="always has a display")
def test_enjoy_requires_a_display(
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
