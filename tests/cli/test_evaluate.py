"""Command ``evaluate``: arguments, output, and the file with the scores."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import yaml
from stable_baselines3 import DQN

from sb3_atari_course.wrappers import ClipReward
from sb3_atari_course.zoo import run_folder as runs
from sb3_atari_course.zoo.run_folder import find_run
from tests.fakes import ScriptedPlayer
from tests.zoo.runs import ROOT, cli

GAME = "BreakoutNoFrameskip-v4"
RUN = ["--algo", "dqn", "--env", GAME]
SHIPPED = ["-f", str(ROOT / "trained_agents")]
CARTPOLE = ["--algo", "dqn", "--env", "CartPole-v1"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["evaluate", *RUN, "-f", "nowhere"], "nowhere/dqn folder was not found: train first"),
        (["evaluate", "--algo", "dqn", "--env", "Brekout-v4"], "`Breakout`"),
        (["evaluate", *RUN, "--sticky-actions", "nan"], "from 0 to 1, got 'nan'"),
        (["evaluate", *RUN, *SHIPPED, "--env-kwargs", "repeat_action_probability:0.25"],
         "repeat_action_probability:0.25: use --sticky-actions instead"),
        (["evaluate", "--algo", "q_learning", "--env", "Taxi-v4", *SHIPPED, "--env-kwargs",
          "is_rainy:'no'"], "is_rainy: 'no' must be True or False"),
        (["evaluate", *RUN, "--env-kwargs", "a:1", "mode:human"], "'mode:human' is not NAME:VALUE"),
        (["evaluate", *RUN, "--env-kwargs", "a:exit()"], "--env-kwargs: 'a:exit()' is not"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else "",
)  # fmt: skip
def test_invalid_argument_prints_one_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
    assert not list(Path().iterdir())


class TestEvaluate:
    @pytest.fixture
    def logs(self, tmp_path: Path) -> Path:
        """Return a log folder with two untrained runs of CartPole."""
        for number, env_kwargs in ((1, {}), (2, {"sutton_barto_reward": True})):
            run = tmp_path / f"logs/dqn/CartPole-v1_{number}"
            settings = run / "CartPole-v1"
            settings.mkdir(parents=True)
            config = {"policy": "MlpPolicy", "env_kwargs": env_kwargs}  # no buffer_size
            config["env_wrapper"] = ["sb3_atari_course.wrappers.ClipReward"]
            (settings / "config.yml").write_text(yaml.dump(config))
            model = DQN("MlpPolicy", "CartPole-v1", seed=0)
            model.save(run / "CartPole-v1")
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

    def test_passes_all_flags_to_the_evaluation(
        self, monkeypatch: pytest.MonkeyPatch, logs: Path
    ) -> None:
        flags = "-n 7 --seed 5 --epsilon 0.3 --max-frames 99 --sticky-actions 0.25"
        flags += " --n-envs 3 --workers 2"
        passed = self.arguments(monkeypatch, *flags.split())
        expected = {
            "env_id": "CartPole-v1",
            "n_games": 7,
            "seed": 5,
            "epsilon": 0.3,
            "max_frames": 99,
            "sticky_actions": 0.25,
            "n_envs": 2,  # 3, split over 2 workers
            "env_kwargs": {"sutton_barto_reward": True},  # the latest run's
            "progress_bar": True,
        }
        assert {name: passed[name] for name in expected} == expected
        assert passed["play"].args[1] == 2
        assert isinstance(passed["env_wrapper"](gym.make("CartPole-v1")), ClipReward)

    def test_defaults_are_30_games_with_epsilon_0(
        self, monkeypatch: pytest.MonkeyPatch, logs: Path
    ) -> None:
        passed = self.arguments(monkeypatch, "--exp-id", "1")
        assert passed["model"].replay_buffer.buffer_size == 1  # the model is loaded without it
        assert (passed["n_games"], passed["epsilon"], passed["max_frames"]) == (30, 0.0, 108_000)
        assert passed["env_kwargs"] == {}

    def test_env_kwargs_are_merged_with_those_of_training(
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

    def test_prints_only_scores_to_stdout(
        self, logs: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What is evaluated is printed to stderr."""
        assert cli("evaluate", *CARTPOLE, "-n", "2", "--seed", "1") == 0
        printed = capsys.readouterr()
        report = find_run("dqn", "CartPole-v1", "logs").evaluate(seed=1, n_games=2, device="cpu")
        assert printed.out == f"{report}\n"
        (line,) = printed.err.splitlines()
        model = Path("logs/dqn/CartPole-v1_2/CartPole-v1.zip")
        for expected in (f"dqn on CartPole-v1 ({model})", "2 games", "2 with random actions"):
            assert expected in line

    def test_full_disk_keeps_the_previous_evaluation(
        self, logs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = logs / "dqn/CartPole-v1_2/evaluation.json"
        path.write_text("previous")

        def full(number: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        assert cli("evaluate", *CARTPOLE, "-n", "1") == 2
        printed = capsys.readouterr()
        assert "scores: " in printed.out  # which would be lost otherwise
        assert "evaluation.json" in printed.err
        assert "No space left on device" in printed.err
        assert path.read_text() == "previous"
        assert not list(path.parent.glob("*.part"))

    @pytest.mark.parametrize("command", ["evaluate", "enjoy", "record"])
    @pytest.mark.parametrize("file", ["CartPole-v1.zip", "CartPole-v1/config.yml"])
    def test_rejects_truncated_files(
        self,
        command: str,
        file: str,
        logs: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(DQN, "load", None)  # its own errors suggest no remedy
        path = logs / "dqn/CartPole-v1_2" / file
        path.write_bytes(path.read_bytes()[: 3000 if path.suffix == ".zip" else 0])
        assert cli(command, *CARTPOLE, "-n", "1") == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert str(path.relative_to(logs.parent)) in line
