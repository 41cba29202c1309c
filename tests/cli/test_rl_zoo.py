"""Our launcher: RL Zoo's commands, our hyperparameters, one clear line for a wrong argument."""

from __future__ import annotations

import argparse
import gc
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import rl_zoo3.enjoy
from moviepy.video.io.ImageSequenceClip import ImageSequenceClip
from rl_zoo3 import ALGOS
from rl_zoo3.exp_manager import ExperimentManager
from stable_baselines3 import DQN

from sb3_atari_course.cli import rl_zoo as zoo
from sb3_atari_course.zoo.run_folder import read_yml
from tests.zoo.runs import cli

UUID_RUN = "CartPole-v1_2_28bf65b8-5e5b-4de1-b5da-3522d497669e"
GAME = "BreakoutNoFrameskip-v4"
RUN = ["--algo", "dqn", "--env", GAME]


CARTPOLE = ["--algo", "dqn", "--env", "CartPole-v1"]


@pytest.fixture
def _agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an agent that never learned, and a newer run without a model."""
    monkeypatch.chdir(tmp_path)
    for name in ("CartPole-v1_1", "CartPole-v1_2"):
        make_settings(Path("logs/dqn") / name)
    DQN("MlpPolicy", "CartPole-v1", seed=0, buffer_size=10, device="cpu").save(AGENT)


AGENT = Path("logs/dqn/CartPole-v1_1/CartPole-v1.zip")


def make_settings(run: Path, env_id: str = "CartPole-v1") -> None:
    (run / env_id).mkdir(parents=True)
    (run / env_id / "config.yml").write_text("policy: MlpPolicy\n")
    (run / env_id / "args.yml").write_text("env_kwargs: null\n")


@pytest.mark.usefixtures("_agent")
class TestPlaying:
    """``enjoy`` and ``record``, in this process."""

    def test_they_take_the_run_that_evaluate_takes(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        commands = {
            "evaluate": (["-n", "1"], f"evaluated: {AGENT}"),
            "enjoy": (["-n", "5", "--no-render"], f"Loading {AGENT}"),
            "record": (["-n", "2"], f"Loading {AGENT}"),
        }
        for command, (flags, expected) in commands.items():
            assert cli(command, *CARTPOLE, *flags) == 0
            printed = capsys.readouterr()
            assert expected in printed.out.splitlines()
            assert "CartPole-v1_2 has no model yet: taking CartPole-v1_1" in printed.err
        (video,) = AGENT.parent.rglob("*.mp4")
        name = "final-model-dqn-CartPole-v1-step-0-to-step-2.mp4"
        assert video == AGENT.parent / "videos" / name
        assert [path.name for path in video.parent.iterdir()] == [name]
        assert f"video: {video}" in printed.out.splitlines()
        assert f"Saving video to {video.resolve()}" in printed.out.splitlines()
        assert ".part-" not in printed.out  # gone by now

    @pytest.mark.parametrize("exp_id", ["0", UUID_RUN.removeprefix("CartPole-v1_"), "2"])
    def test_a_run_of_uuid_is_enjoyed(
        self, exp_id: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("logs/dqn/CartPole-v1_2").rename(f"logs/dqn/{UUID_RUN}")
        shutil.copy(AGENT, f"logs/dqn/{UUID_RUN}")
        assert cli("enjoy", *CARTPOLE, "--exp-id", exp_id, "-n", "2", "--no-render") == 0
        printed = capsys.readouterr()
        assert f"Loading logs/dqn/{UUID_RUN}/CartPole-v1.zip" in printed.out
        assert printed.err == ""

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
        self, which: list[str], capsys: pytest.CaptureFixture[str]
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
        self, command: str, flags: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli(command, *CARTPOLE, *flags) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert flags[1] in line
        assert not list(Path().rglob("videos"))

    @pytest.mark.parametrize("command", ["enjoy", "record"])
    def test_arguments_without_env_kwargs_are_refused(
        self, command: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = AGENT.parent / "CartPole-v1/args.yml"
        path.write_text("algo: dqn\n")
        assert cli(command, *CARTPOLE) == 2
        assert str(path) in capsys.readouterr().err

    def test_a_run_without_its_settings_is_refused_as_by_evaluate(
        self, capsys: pytest.CaptureFixture[str]
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

    def test_agents_of_rl_zoo_are_downloaded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = []

        def download(**kwargs: Any) -> None:
            asked.append((kwargs["algo"], kwargs["env_name"], kwargs["folder"]))
            shutil.copytree("logs", kwargs["folder"])

        monkeypatch.setattr(rl_zoo3.enjoy, "download_from_hub", download)
        where = ["-f", "rl-trained-agents", "--exp-id", "1"]
        assert cli("enjoy", *CARTPOLE, *where, "-n", "2", "--no-render") == 0
        assert asked == [("dqn", "CartPole-v1", "rl-trained-agents")]

    @pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="always has a display")
    def test_a_window_needs_a_display(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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

    def test_record_takes_a_device_and_packages(self, monkeypatch: pytest.MonkeyPatch) -> None:
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

    @pytest.mark.parametrize("moment", ["a step", "a step, by a signal", "the encoding"])
    def test_ctrl_c_leaves_no_shorter_video(
        self, moment: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """RL Zoo writes what there is by then, under the name of the whole."""
        predict, write = DQN.predict, ImageSequenceClip.write_videofile
        n_steps = []

        def interrupted(self: Any, *args: Any, **kwargs: Any) -> Any:
            n_steps.append(1)
            if moment != "the encoding" and len(n_steps) == 5:
                if moment == "a step":
                    raise KeyboardInterrupt
                signal.raise_signal(signal.SIGINT)
            return predict(self, *args, **kwargs)

        def write_and_interrupt(self: Any, path: str) -> None:
            if len(n_steps) == 8:
                n_steps.append(1)
                signal.raise_signal(signal.SIGINT)
            write(self, path)

        monkeypatch.setattr(DQN, "predict", interrupted)
        monkeypatch.setattr(ImageSequenceClip, "write_videofile", write_and_interrupt)
        before = sorted(Path().rglob("*"))
        handler = signal.getsignal(signal.SIGINT)
        assert cli("record", *CARTPOLE, "-n", "8") == 130
        assert n_steps
        assert sorted(Path().rglob("*")) == before
        assert signal.getsignal(signal.SIGINT) is handler

    @pytest.mark.parametrize("flags", [[], ["-o", "here"], ["-o", "here/deeper"]], ids=" ".join)
    def test_a_video_that_cannot_be_written_is_one_line(
        self, flags: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = Path(flags[1] if flags else AGENT.parent / "videos")
        Path("here" if flags else folder).touch()
        assert cli("record", *CARTPOLE, "-n", "2", *flags) == 2
        printed = capsys.readouterr()
        assert str(folder) in printed.err.splitlines()[-1]
        assert "Loading" not in printed.out  # nothing was played for it

    def test_a_full_disk_leaves_no_video(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def full(self: Any, path: str) -> None:
            Path(path).write_text("half of it")
            raise OSError("[Errno 32] Broken pipe\n\nMoviePy error: FFMPEG encountered ...")

        monkeypatch.setattr(ImageSequenceClip, "write_videofile", full)
        before = sorted(Path().rglob("*"))
        assert cli("record", *CARTPOLE, "-n", "2", "-o", "here") == 2
        assert "Broken pipe" in capsys.readouterr().err.splitlines()[-1]
        gc.collect()
        assert sorted(Path().rglob("*")) == before


#: RL Zoo leaves monitor files open.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

TRAIN_CARTPOLE = [
    "train",
    "--algo",
    "dqn",
    "--env",
    "CartPole-v1",
    "--eval-freq",
    "-1",
    "--seed",
    "1",
]


@pytest.mark.parametrize(
    "wrong",
    [
        *(["-n", "0"], ["-n", "-2"], ["--num-threads", "0"], ["--log-interval", "0"]),
        *(["--log-interval", "-3"], ["--eval-episodes", "0"], ["--n-eval-envs", "0"]),
        *(["--checkpoint-freq", "-5"], ["--seed", "4294967296"], ["--n-trials", "0"]),
        *(["--n-jobs", "0"], ["--n-startup-trials", "-1"], ["--device", "banana"]),
    ],
    ids=" ".join,
)
def test_a_number_out_of_range_is_refused(
    wrong: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(*TRAIN_CARTPOLE, "-f", str(tmp_path / "logs"), *wrong) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert wrong[0] in last
    assert wrong[1] in last
    assert list(tmp_path.iterdir()) == []


def test_a_flag_is_true_or_false(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``bool("no")``, as RL Zoo reads it, is true."""
    logs = ["-f", str(tmp_path), "-n", "10", "-params", "learning_starts:1"]
    assert cli(*TRAIN_CARTPOLE, *logs, "--truncate-last-trajectory", "no") == 2
    assert "got 'no'" in capsys.readouterr().err
    assert cli(*TRAIN_CARTPOLE, *logs, "--truncate-last-trajectory", "False") == 0
    arguments = read_yml(tmp_path / "dqn/CartPole-v1_1/CartPole-v1/args.yml")
    assert arguments["truncate_last_trajectory"] is False


def test_help_tells_each_flag_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli("train", "--help") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("usage: sb3-atari train ")
    assert "--vec-env {dummy,subproc,native}" in printed
    for flag in ("--checkpoint-freq", "--vec-env", "--env "):
        assert printed.count(f"\n  {flag}") == 1
        assert printed.count(f"[{flag}") == 1


def test_our_flags_reach_the_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[argparse.Namespace] = []

    class Spy(zoo.CourseExperimentManager):
        def __init__(self, args: argparse.Namespace, *others: Any, **kwargs: Any) -> None:
            seen.append(args)
            assert ExperimentManager.default_vec_env_cls is not None
            raise SystemExit

    monkeypatch.setattr(zoo, "CourseExperimentManager", Spy)
    monkeypatch.setattr(ExperimentManager, "default_vec_env_cls", None)
    monkeypatch.delitem(sys.modules, "sb3_atari_course.native_zoo", raising=False)
    assert cli(*TRAIN_CARTPOLE, "--vec-env=native", "--checkpoint-freq", "300") == 0
    assert (seen[0].vec_env, Spy.checkpoint_freq) == ("dummy", 300)
    assert "checkpoint_freq" not in vars(seen[0])  # args.yml has RL Zoo's own flags
