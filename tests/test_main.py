"""The command line: one clear line and exit status 2 for a wrong argument, never a traceback."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import yaml
from rl_zoo3.exp_manager import ExperimentManager
from stable_baselines3 import DQN

from sb3_atari_course import commands, runs
from sb3_atari_course.errors import TrainingFailedError
from sb3_atari_course.wrappers import ClipReward
from tests.fakes import ScriptedPlayer
from tests.zoo_runs import cli, python_m

#: RL Zoo leaves monitor files open when it fails.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

GAME = "BreakoutNoFrameskip-v4"
RUN = ["--algo", "dqn", "--env", GAME]
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
         "BrekoutNoFrameskip-v4 not found in gym registry, you maybe meant BreakoutNoFrameskip-v4"),
        (["train", "--algo", "dqn", "--env", "ALE/Breakout-v5"], "--env-kwargs frameskip:1"),
        (["train", "--algo", "nonsense", "--env", GAME], "invalid choice: 'nonsense'"),
        (["train", *RUN, "-params", f"env_wrapper:{CROP}"],
         "crop (0, 300, 0, 160) leaves the screen of 210 rows and 160 columns"),
        (["train", *RUN, "-params", "env_wrapper:'sb3_atari_course.envs.wrap_atarii'"],
         "has no attribute 'wrap_atarii'"),
        (["train", *RUN, "-params", "policy:MlpPolicy"], "name 'MlpPolicy' is not defined"),
        (["train", *RUN, "-params", "batch_size"], "SyntaxError"),
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
         "gamma=0.9, the model has gamma=0.99: in replay_buffer_kwargs set gamma to 0.99"),
        (["train", *RUN, "-params", "replay_buffer_kwargs:{}", "buffer_size:100000000"],
         "the replay memory needs 710.80 GB when it is full"),
        ([*TABLE, "Pendulum-v1"],
         "DiscretizeActions: {n_bins: 11}}, {sb3_atari_course.wrappers.DiscretizeObservations"),
        ([*TABLE, "Acrobot-v1"], "a table needs Discrete or MultiDiscrete observations, got Box"),
        ([*TABLE, GAME], "no table has a row for each screen, choose dqn or qrdqn"),
        ([*TABLE, "Taxi-v4", "-params", "learning_rate:2.0"], "learning_rate must lie in (0, 1]"),
        ([*TABLE, "Taxi-v4", "-params", "learning_rate:'visit'"],
         "such as lin_0.5, which falls linearly to 0, got 'visit'"),
        (["train", *CARTPOLE, "-params", "learning_rate:'1e-4'"], "not 1e-4, which YAML takes"),
        ([*TABLE, "Taxi-v4", "-params", "exploration:'lin_'"], "exploration is a number"),
        ([*TABLE, "Taxi-v4", "-params", "exploration:'lin_3'"],
         "exploration at progress_remaining 1 is a probability, 0 to 1, got 3.0"),
        ([*TABLE, "Taxi-v4", "-params", "gamma:'x'"], "gamma must be a number, got 'x'"),
        ([*TABLE, "Taxi-v4", "-params", "gamma:1.5"], "gamma is a discount, 0 to 1, got 1.5"),
        ([*TABLE, "Taxi-v4", "-params", "exploration:7"], "exploration is a probability, 0 to 1"),
        (["evaluate", *RUN, "-f", "nowhere"], "nowhere/dqn folder was not found: train first"),
        (["evaluate", "--algo", "dqm", "--env", GAME], "unknown algo 'dqm': one of"),
        (["evaluate", "--algo", "dqn", "--env", "Brekout-v4"], "did you mean 'BreakoutNoFr"),
        (["evaluate", *RUN, "-n", "many"], "invalid int value: 'many'"),
        (["plot", *RUN, "-f", "nowhere"], "nowhere/dqn is no folder with a run of Breakout"),
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
    assert cli(*arguments) == 2
    printed = capsys.readouterr().err
    assert expected in printed
    assert "Traceback" not in printed


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
    with pytest.raises(TrainingFailedError, match="No space left on device"):
        cli("train", *CARTPOLE, "-n", "10", "--eval-freq", "-1", "-f", "logs")


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
