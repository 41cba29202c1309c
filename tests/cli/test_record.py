"""Command ``record``: a complete video or none."""

from __future__ import annotations

import gc
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from moviepy.video.io.ImageSequenceClip import ImageSequenceClip
from rl_zoo3 import ALGOS
from stable_baselines3 import DQN

from sb3_atari_course._common import progress
from tests.cli.untrained_agent import AGENT, CARTPOLE, RUN, make_agent, make_settings
from tests.zoo.runs import cli


@pytest.fixture(autouse=True)
def _agent(_in_an_empty_folder: None) -> None:
    make_agent()


def test_uses_device_and_gym_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("our_cart_poles.py").write_text(
        "import gymnasium as gym\n"
        "entry_point = 'gymnasium.envs.classic_control:CartPoleEnv'\n"
        "gym.register('OurCartPole-v3', entry_point=entry_point)\n"
    )
    run = Path("logs/dqn/OurCartPole-v3_1")
    make_settings(run, "OurCartPole-v3")
    shutil.copy(AGENT, run / "OurCartPole-v3.zip")
    monkeypatch.syspath_prepend(Path.cwd())
    load, devices = DQN.load, []

    def spy(*args: Any, device: str = "not given", **kwargs: Any) -> Any:
        devices.append(device)
        return load(*args, device="cpu", **kwargs)

    monkeypatch.setattr(DQN, "load", spy)
    arguments = ["record", "--algo", "dqn", "--env", "OurCartPole-v3", "-n", "2", "-o", "here"]
    assert cli(*arguments) == 2
    for device in ("cpu", "cuda:1"):
        flags = ["--device", device, "--gym-packages", "our_cart_poles"]
        assert cli(*arguments, *flags) == 0
    assert devices == ["cpu", "cuda:1"]
    assert ALGOS["dqn"] is DQN
    assert len(list(Path("here").iterdir())) == 1


def test_shows_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.01)
    predict = DQN.predict

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(0.1)
        return predict(*args, **kwargs)

    monkeypatch.setattr(DQN, "predict", slow)
    assert cli("record", *CARTPOLE, "-n", "4") == 0
    lines = capsys.readouterr().err.splitlines()
    assert any("dqn on CartPole-v1: 4 steps" in line for line in lines)
    assert any(line.startswith("Recording: 2 of 4 steps, ") for line in lines)


@pytest.mark.parametrize("moment", ["step", "encoding"])
def test_ctrl_c_leaves_no_truncated_video(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """RL Zoo would write a shorter video under the name of the complete one."""
    predict, write = DQN.predict, ImageSequenceClip.write_videofile
    n_steps = []

    def interrupted(self: Any, *args: Any, **kwargs: Any) -> Any:
        n_steps.append(1)
        if moment == "step" and len(n_steps) == 5:
            signal.raise_signal(signal.SIGINT)
        return predict(self, *args, **kwargs)

    def write_and_interrupt(self: Any, path: str) -> None:
        if moment == "encoding":
            signal.raise_signal(signal.SIGINT)
        write(self, path)

    monkeypatch.setattr(DQN, "predict", interrupted)
    monkeypatch.setattr(ImageSequenceClip, "write_videofile", write_and_interrupt)
    handler = signal.getsignal(signal.SIGINT)
    assert cli("record", *CARTPOLE, "-n", "8") == 130
    assert len(n_steps) == (5 if moment == "step" else 8)
    assert list((RUN / "videos").iterdir()) == []
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("flags", [[], ["-o", "here/deeper"]], ids=" ".join)
def test_unwritable_video_prints_one_line(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(flags[1] if flags else AGENT.parent / "videos")
    Path("here" if flags else folder).touch()
    assert cli("record", *CARTPOLE, "-n", "2", *flags) == 2
    printed = capsys.readouterr()
    assert str(folder) in printed.err.splitlines()[-1]
    assert "Loading" not in printed.out  # fails before playing


def test_full_disk_leaves_no_video(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Any, path: str) -> None:
        Path(path).write_text("half of it")
        raise OSError("[Errno 32] Broken pipe\n\nMoviePy error: FFMPEG encountered ...")

    monkeypatch.setattr(ImageSequenceClip, "write_videofile", full)
    assert cli("record", *CARTPOLE, "-n", "2", "-o", "here") == 2
    assert "Broken pipe" in capsys.readouterr().err.splitlines()[-1]
    gc.collect()
    assert list(Path("here").iterdir()) == []
