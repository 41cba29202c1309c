"""The command line: one clear line and exit status 2 for a wrong argument, never a traceback."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import yaml
from rl_zoo3.exp_manager import ExperimentManager
from stable_baselines3 import DQN

from sb3_atari_course._common.errors import TrainingFailedError
from sb3_atari_course._common.validation import integer_at_least
from sb3_atari_course.cli import evaluate as commands
from sb3_atari_course.envs import import_packages
from sb3_atari_course.wrappers import ClipReward
from sb3_atari_course.zoo import run_folder as runs
from tests.fakes import ScriptedPlayer
from tests.zoo.runs import ROOT, cli, python_m

#: RL Zoo leaves monitor files open when it fails.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

GAME = "BreakoutNoFrameskip-v4"
RUN = ["--algo", "dqn", "--env", GAME]
SHIPPED = ["-f", str(Path(__file__).parents[2] / "trained_agents")]
CARTPOLE = ["--algo", "dqn", "--env", "CartPole-v1"]
TABLE = ["train", "--algo", "q_learning", "--env"]
CROP = "[{'sb3_atari_course.envs.wrap_atari': {'crop': [0, 300, 0, 160]}}]"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SB3_ATARI_TRACEBACK", raising=False)
    yield
    gc.collect()  # here, where the warning about them is ignored


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "--algo", "dqn", "--env", "Pendulum-v1", "-params", "env_wrapper:None"],
         "Pendulum-v1 has the actions Box(-2.0, 2.0, (1,), float32), but dqn chooses among"
         " discrete ones: add to its env_wrapper"),
        (["train", "--algo", "dqn", "--env", "BrekoutNoFrameskip-v4"],
         "'BrekoutNoFrameskip-v4': did you mean 'BreakoutNoFrameskip-v4'?"),
        (["train", "--algo", "dqn", "--env", "ALE/Breakout-v5"], "--env-kwargs frameskip:1"),
        (["train", "--algo", "nonsense", "--env", GAME], "invalid choice: 'nonsense'"),
        (["train", *RUN, "-params", f"env_wrapper:{CROP}"],
         "crop (0, 300, 0, 160) leaves the screen of 210 rows and 160 columns"),
        (["train", *RUN, "-params", "env_wrapper:'sb3_atari_course.envs.wrap_atarii'"],
         "has no attribute 'wrap_atarii'"),
        (["train", *RUN, "-params", "policy:MlpPolicy"],
         "-params policy:MlpPolicy: NameError: name 'MlpPolicy' is not defined: write NAME:VALUE,"
         " strings in quotes (\"policy:'MlpPolicy'\")"),
        (["train", *RUN, "-params", "batch_size"], "-params batch_size: write NAME:VALUE"),
        (["train", *RUN, "-params", "learning_rate=0.1"], "-params learning_rate=0.1: write NAME"),
        (["train", *RUN, "-params", "learning_rat:1"], "did you mean learning_rate?"),
        (["train", *CARTPOLE, "-params", "n_envs:0"], "-params n_envs:0 has to be at least 1"),
        (["train", *CARTPOLE, "-params", "train_freq:0"], "-params train_freq:0 has to be at lea"),
        (["train", *CARTPOLE, "-params", "train_freq:(1, 'episode')", "n_envs:2"],
         "You must use only one env when doing episodic training"),
        (["train", *CARTPOLE, "-params", "policy_kwargs:{'optimizer_kwargs': 1}"],
         "policy_kwargs.optimizer_kwargs:1 has to be a mapping"),
        (["train", *CARTPOLE, "-params",
          "policy_kwargs:{'features_extractor_kwargs': {'dim': 3}}"], "'dim'"),
        (["train", "--algo", "ppo", *CARTPOLE[2:], "-params", "batch_size:1"], "`batch_size` must"),
        (["train", *CARTPOLE, "-params",
          "env_wrapper:'sb3_atari_course.wrappers.DiscretizeObservations'"], "'n_bins'"),
        (["train", *CARTPOLE, "--vec-env", "subproc", "-params",
          "env_wrapper:'sb3_atari_course.wrappers.DiscretizeObservations'"], "'n_bins'"),
        (["train", *CARTPOLE, "-conf", "no_length.yml"], "no_length.yml has no n_timesteps"),
        (["train", *CARTPOLE, "--env-kwargs", "gravity:1"], "--env-kwargs gravity:1 is not an arg"),
        (["train", *CARTPOLE, "--eval-env-kwargs", "gravity:1"], "--eval-env-kwargs gravity:1 is"),
        (["train", *CARTPOLE, "--env-kwargs", "max_episode_steps:0"], "'max_episode_steps': 0"),
        (["train", *RUN, "--env-kwargs", "mode:99"], "--env-kwargs {'mode': 99}: "),
        (["train", *CARTPOLE, "--gym-packages", "nowhere"], "--gym-packages nowhere: No module"),
        (["train", *CARTPOLE, "-i", "nowhere.zip"], "nowhere.zip: there is no such .zip file"),
        (["train", *CARTPOLE, "-f", "broken.yml"], "cannot write broken.yml/dqn/CartPole-v1_1"),
        (["train", *CARTPOLE, "-tb", "broken.yml"], "broken.yml/CartPole-v1"),
        (["train", *CARTPOLE, "--device", "banana"], "banana"),
        (["train", *RUN, "-conf", "nowhere.yml"], "nowhere.yml"),
        (["train", *RUN, "-conf", "broken.yml"], "broken.yml"),
        (["train", *RUN, "-conf", "default.yml"],
         "default.yml has no entry 'atari', and none for BreakoutNoFrameskip-v4: add one"),
        (["train", *RUN, "-params", "optimize_memory_usage:True"],
         "keeps every frame once already: leave out optimize_memory_usage"),
        (["train", *RUN, "-params", "replay_buffer_kwargs:{'compression': 'zip'}"],
         "compression must be None or 'lz4', got 'zip'"),
        (["train", *RUN, "-params", "replay_buffer_kwargs:{'n_steps': 3, 'gamma': 0.9}"],
         "-params replay_buffer_kwargs.gamma:0.9 is not the algorithm's gamma: 0.99"),
        (["train", *RUN, "-params", "replay_buffer_kwargs:{}", "buffer_size:100000000"],
         "the replay buffer needs 710.80 GB when it is full"),
        ([*TABLE, "Pendulum-v1"],
         "DiscretizeActions: {n_bins: 11}}, {sb3_atari_course.wrappers.DiscretizeObservations"),
        ([*TABLE, "Acrobot-v1"], "a table needs Discrete or MultiDiscrete observations, got Box"),
        ([*TABLE, GAME], "no table has a row for each screen, choose dqn or qrdqn"),
        ([*TABLE, "Taxi-v4", "-params", "learning_rate:2.0"], "learning_rate must lie in (0, 1]"),
        ([*TABLE, "Taxi-v4", "-params", "learning_rate:'visit'"],
         "-params learning_rate:'visit' has to be a number or 'visits' or a schedule"),
        (["train", *CARTPOLE, "-params", "learning_rate:'1e-4'"], "write 0.0001"),
        ([*TABLE, "Taxi-v4", "-params", "exploration:'lin_'"], "exploration:'lin_' has to be a nu"),
        ([*TABLE, "Taxi-v4", "-params", "exploration:'lin_3'"],
         "exploration at progress_remaining 1 is a probability, 0 to 1, got 3.0"),
        ([*TABLE, "Taxi-v4", "-params", "gamma:'x'"], "-params gamma:'x' has to be a number"),
        ([*TABLE, "Taxi-v4", "-params", "gamma:1.5"], "gamma:1.5 has to be at most 1"),
        ([*TABLE, "Taxi-v4", "-params", "exploration:7"], "exploration is a probability, 0 to 1"),
        (["evaluate", *RUN, "-f", "nowhere"], "nowhere/dqn folder was not found: train first"),
        (["evaluate", "--algo", "dqm", "--env", GAME], "unknown algo 'dqm': one of"),
        (["evaluate", "--algo", "dqn", "--env", "Brekout-v4"], "'BreakoutNoFrameskip-v4'"),
        (["evaluate", *RUN, "-n", "many"], "invalid int value: 'many'"),
        (["evaluate", *RUN, "--device", "banana"], "--device: 'banana' is not a PyTorch device"),
        (["evaluate", *RUN, *SHIPPED, "--env-kwargs", "repeat_action_probability:0.25"],
         "repeat_action_probability:0.25: say --sticky-actions instead"),
        (["evaluate", "--algo", "q_learning", "--env", "Taxi-v4", *SHIPPED, "--env-kwargs",
          "is_rainy:'no'"], "is_rainy:'no' has to be True or False"),
        (["evaluate", *RUN, "--env-kwargs", "frameskip=1"], "--env-kwargs: 'frameskip=1' is not"),
        (["evaluate", *RUN, "--env-kwargs", "a:1", "mode:human"], "'mode:human' is not NAME:VALUE"),
        (["evaluate", *RUN, "--env-kwargs", "a:exit()"], "--env-kwargs: 'a:exit()' is not"),
        (["plot", *RUN, "-f", "nowhere"], "The nowhere/dqn folder was not found"),
        (["plot", *RUN, "--gym-packages", "nowhere"], "No module named 'nowhere'"),
        (["enjoy", *RUN, "-f", "nowhere", "--no-render"], "The nowhere/dqn folder was not found"),
        (["enjoy", *RUN, "-fnowhere", "--no-render"], "The nowhere/dqn folder was not found"),
        (["enjoy", *RUN, "--folder=nowhere", "--no-render"], "The nowhere/dqn folder was not"),
        (["enjoy", *RUN, "--no-render"], "The logs/dqn folder was not found"),
        (["record", *RUN], "The logs/dqn folder was not found"),
        (["record", *RUN, "-f", "nowhere"], "folder was not found"),
        (["dance"], "unknown command 'dance': one of train, resume, enjoy"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_wrong_argument_gives_one_clear_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken.yml").write_text("a: [")
    Path("default.yml").write_text("default:\n  policy: MlpPolicy\n  n_timesteps: 10\n")
    Path("no_length.yml").write_text("CartPole-v1:\n  policy: MlpPolicy\n")
    before = sorted(Path().rglob("*"))
    assert cli(*arguments) == 2
    printed = capsys.readouterr().err
    assert expected in printed
    assert "Traceback" not in printed
    assert sorted(Path().rglob("*")) == before  # nothing half-made is left


def _bug_below_numpy() -> None:
    np.zeros(-1)  # type: ignore[arg-type]  # a ValueError of NumPy


def _bug_of_ours() -> None:
    integer_at_least("1", "n", 2)  # type: ignore[arg-type]  # a TypeError in a line of ours


def _assertion() -> None:
    raise AssertionError


def _another_pipe() -> None:
    raise BrokenPipeError


@pytest.mark.parametrize(
    ("bug", "error"),
    [
        (_bug_below_numpy, ValueError),
        (_bug_of_ours, TypeError),
        (_assertion, AssertionError),
        (_another_pipe, BrokenPipeError),
    ],
)
def test_an_unexpected_error_keeps_its_traceback(
    bug: Callable[[], None], error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "evaluate", bug)
    with pytest.raises(error):
        cli("evaluate")


def test_a_folder_that_cannot_be_written_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read_only() -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "logs/dqn")

    monkeypatch.setattr(commands, "evaluate", read_only)
    assert cli("evaluate") == 2
    assert capsys.readouterr().err == "sb3-atari: error: logs/dqn: Permission denied\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_may_leave_early(unbuffered: str) -> None:
    """As ``--help | head`` does."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-m", "sb3_atari_course", "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered},
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_exit_status_reaches_the_shell() -> None:
    printed = python_m("sb3_atari_course", "dance", status=2)
    assert printed.splitlines()[-1].startswith("sb3-atari: error: unknown command 'dance'")


def test_the_traceback_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SB3_ATARI_TRACEBACK", "1")
    with pytest.raises(ValueError, match="unknown algo"):
        cli("evaluate", "--algo", "dqm", "--env", GAME)


def test_ctrl_c_is_no_error_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "evaluate", interrupted)
    assert cli("evaluate") == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_training_that_fails_halfway_shows_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(self: Any, model: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(ExperimentManager, "learn", full_disk)
    run = Path("logs/dqn/CartPole-v1_1")
    with pytest.raises(TrainingFailedError, match=f"{run} failed: No space left on device"):
        cli("train", *CARTPOLE, "-n", "10", "--eval-freq", "-1", "-f", "logs")
    assert (run / "CartPole-v1/config.yml").is_file()


def test_a_training_that_fails_at_its_start_leaves_what_was_there() -> None:
    Path("logs/dqn/CartPole-v1_1").mkdir(parents=True)
    Path("tb").mkdir()
    too_large = ("replay_buffer_kwargs:{}", "buffer_size:100000000")  # found at the first step
    assert cli("train", *RUN, "-n", "10", "--eval-freq", "-1", "-tb", "tb", "-params", *too_large)
    assert sorted(map(str, Path().rglob("*"))) == [
        *("logs", "logs/dqn", "logs/dqn/CartPole-v1_1", "tb"),
    ]


@pytest.mark.parametrize("command", ["train", "enjoy", "record", "evaluate", "plot"])
def test_every_command_answers_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(command, "--help") == 0
    assert "usage: " in capsys.readouterr().out


def test_help_and_version_come_at_once() -> None:
    """Without torch."""
    code = (
        "import sys; from sb3_atari_course.__main__ import main\n"
        "for flag in ('--help', '--version'):\n"
        "    sys.argv = ['sb3-atari', flag]\n"
        "    try: main()\n"
        "    except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "commands:" in done.stdout


class TestEvaluate:
    @pytest.fixture
    def logs(self, tmp_path: Path) -> Path:
        """Return a log folder with two runs of CartPole that never learned."""
        for number, env_kwargs in ((1, {}), (2, {"sutton_barto_reward": True})):
            run = tmp_path / f"logs/dqn/CartPole-v1_{number}"
            settings = run / "CartPole-v1"
            settings.mkdir(parents=True)
            config = {"policy": "MlpPolicy", "env_kwargs": env_kwargs}  # no buffer_size
            config["env_wrapper"] = ["sb3_atari_course.wrappers.ClipReward"]
            (settings / "config.yml").write_text(yaml.dump(config))
            model = DQN("MlpPolicy", "CartPole-v1", seed=0)
            for name in ("CartPole-v1", "best_model", "rl_model_50_steps"):
                model.save(run / name)
        return tmp_path / "logs"

    def arguments(self, monkeypatch: pytest.MonkeyPatch, *flags: str) -> dict[str, Any]:
        """Return what ``evaluate`` passes on to ``evaluate_games``."""
        passed: dict[str, Any] = {}
        evaluate_games = runs.evaluate_games

        def spy(model: Any, env_id: str, **kwargs: Any) -> Any:
            passed.update(kwargs, model=model, env_id=env_id)
            return evaluate_games(ScriptedPlayer([0]), "CartPole-v1", n_games=1, seed=0)

        monkeypatch.setattr(runs, "evaluate_games", spy)
        assert cli("evaluate", *CARTPOLE, "-f", "logs", *flags) == 0
        return passed

    def test_every_flag_arrives(self, monkeypatch: pytest.MonkeyPatch, logs: Path) -> None:
        flags = [
            "-n",
            "7",
            "--seed",
            "5",
            "--epsilon",
            "0.3",
            "--max-frames",
            "99",
            "--sticky-actions",
            "0.25",
        ]
        passed = self.arguments(monkeypatch, *flags)
        expected = {
            "env_id": "CartPole-v1",
            "n_games": 7,
            "seed": 5,
            "epsilon": 0.3,
            "max_frames": 99,
            "sticky_actions": 0.25,
            "env_kwargs": {"sutton_barto_reward": True},  # the latest run's
        }
        assert {name: passed[name] for name in expected} == expected
        assert isinstance(passed["env_wrapper"](gym.make("CartPole-v1")), ClipReward)

    def test_defaults(self, monkeypatch: pytest.MonkeyPatch, logs: Path) -> None:
        passed = self.arguments(monkeypatch, "--exp-id", "1")
        assert (passed["n_games"], passed["epsilon"], passed["max_frames"]) == (30, 0.0, 108_000)
        assert passed["env_kwargs"] == {}

    def test_arguments_of_the_environment_are_added_to_those_of_the_training(
        self, monkeypatch: pytest.MonkeyPatch, logs: Path
    ) -> None:
        flags = ["--env-kwargs", "render_mode:'rgb_array'", "--env-kwargs", "max_episode_steps:9"]
        passed = self.arguments(monkeypatch, *flags)
        assert passed["env_kwargs"] == {
            "sutton_barto_reward": True,
            "render_mode": "rgb_array",
            "max_episode_steps": 9,
        }
        passed = self.arguments(monkeypatch, "--env-kwargs", "sutton_barto_reward:False")
        assert passed["env_kwargs"] == {"sutton_barto_reward": False}

    def test_arguments_that_the_environment_does_not_have_are_refused(
        self, logs: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli("evaluate", *CARTPOLE, "--env-kwargs", "nonsense:7") == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "--env-kwargs nonsense:7" in line

    def test_it_prints_the_score_and_no_list_of_files(
        self, logs: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli("evaluate", *CARTPOLE, "-n", "1") == 0
        folder, evaluated, *report = capsys.readouterr().out.splitlines()
        assert folder == "run folder: logs/dqn/CartPole-v1_2"
        assert evaluated == "evaluated: logs/dqn/CartPole-v1_2/CartPole-v1.zip"
        starts = ["CartPole-v1", "random play", "length", "scores", "protocol"]
        assert [line.partition(":")[0] for line in report] == starts

    def test_a_score_that_cannot_be_kept_is_printed(
        self, logs: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = logs / "dqn/CartPole-v1_2"
        (run / "evaluation.json").mkdir()
        before = sorted(run.iterdir())
        assert cli("evaluate", *CARTPOLE, "-n", "1") == 2
        printed = capsys.readouterr()
        assert "CartPole-v1: " in printed.out
        assert "scores: " in printed.out
        (line,) = printed.err.splitlines()
        assert "logs/dqn/CartPole-v1_2/evaluation.json" in line
        assert sorted(run.iterdir()) == before

    def test_a_full_disk_keeps_the_score_before(
        self, logs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = logs / "dqn/CartPole-v1_2/evaluation.json"
        path.write_text("of before")

        def full(number: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        assert cli("evaluate", *CARTPOLE, "-n", "1") == 2
        assert "No space left on device" in capsys.readouterr().err
        assert path.read_text() == "of before"
        assert not list(path.parent.glob("*.part"))

    @pytest.mark.parametrize("command", ["evaluate", "enjoy", "record"])
    @pytest.mark.parametrize("file", ["CartPole-v1.zip", "CartPole-v1/config.yml"])
    def test_files_that_were_cut_off_are_refused(
        self,
        command: str,
        file: str,
        logs: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(DQN, "load", None)  # whose own errors name no remedy
        path = logs / "dqn/CartPole-v1_2" / file
        path.write_bytes(path.read_bytes()[: 3000 if path.suffix == ".zip" else 0])
        assert cli(command, *CARTPOLE, "-n", "1") == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert str(path.relative_to(logs.parent)) in line

    def test_a_package_that_is_not_there_is_named(
        self, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("nowhere", "json.nowhere"):
            with pytest.raises(ValueError, match=f"--gym-packages {name}"):
                import_packages([name])
        (tmp_path / "broken_package.py").write_text("import nowhere")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(ModuleNotFoundError, match="nowhere"):
            import_packages(["json", "broken_package"])

    def test_a_model_is_loaded_without_its_memory(
        self, monkeypatch: pytest.MonkeyPatch, logs: Path
    ) -> None:
        model = self.arguments(monkeypatch)["model"]
        assert model.replay_buffer.buffer_size == 1

    @pytest.mark.parametrize(
        ("flags", "name"),
        [
            ([], "CartPole-v1.zip"),
            (["--load-best"], "best_model.zip"),
            (["--load-checkpoint", "50"], "rl_model_50_steps.zip"),
            (["--load-last-checkpoint"], "rl_model_50_steps.zip"),
        ],
    )
    def test_the_model_is_chosen_as_by_enjoy(
        self,
        flags: list[str],
        name: str,
        logs: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert cli("evaluate", *CARTPOLE, "-f", "logs", "-n", "1", *flags) == 0
        assert f"evaluated: logs/dqn/CartPole-v1_2/{name}" in capsys.readouterr().out
