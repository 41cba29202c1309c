"""The benchmark of an hour: equal time, schedules that end with it, and that it goes on."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from stable_baselines3 import DQN

from benchmarks import one_hour, wall_clock
from benchmarks.laptop_variants import VARIANTS, settings_of
from benchmarks.wall_clock import WallClock
from sb3_atari_course.hyperparams import load_hyperparams

GAME = one_hour.GAME


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def perf_counter(self) -> float:
        return self.now


def test_a_training_ends_with_its_time_and_its_schedules_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(wall_clock, "time", clock)
    seen = []

    class Slow(gym.Wrapper[Any, Any, Any, Any]):
        """Three seconds a step: twenty fit into a minute."""

        def step(self, action: Any) -> Any:
            clock.now += 3
            seen.append((round(model.exploration_rate, 3), model._current_progress_remaining))
            return super().step(action)

    model = DQN(
        "MlpPolicy",
        Slow(gym.make("CartPole-v1")),
        buffer_size=9,
        exploration_fraction=0.5,
        exploration_final_eps=0.1,
    )
    model.learn(10**9, callback=WallClock(1))
    assert model.num_timesteps == 20
    rates, progress = zip(*seen, strict=True)
    assert rates[5] == pytest.approx(1 - 0.9 * 5 / 10, abs=1e-3)  # a quarter of the time is over
    assert rates[10:] == (0.1,) * 10
    assert progress[19] == pytest.approx(1 / 20)


def test_every_variant_changes_the_yml_in_what_it_says() -> None:
    base = load_hyperparams("fast_dqn_laptop")[GAME]
    common = {"n_timesteps", "compile", "callback"}
    for name in VARIANTS:
        settings = settings_of(name, 7)
        assert settings["callback"] == [{"benchmarks.wall_clock.WallClock": {"minutes": 7}}]
        changed = {key for key in settings if settings[key] != base.get(key)} - common
        assert bool(changed) == (name != "the yml"), name
    assert settings_of("rewards of 5 steps", 7)["replay_buffer_kwargs"]["n_steps"] == 5
    (wrapper,) = settings_of("64 x 64 pixels", 7)["env_wrapper"][0].values()
    assert (wrapper["shape"], wrapper["crop"]) == ([64, 64], [30, 195, 5, 155])
    assert settings_of("half the updates, batch 64", 7)["batch_size"] == 64
    assert load_hyperparams("fast_dqn_laptop")[GAME] == base


def fake_modules(
    monkeypatch: pytest.MonkeyPatch, means: dict[str, float]
) -> list[tuple[str, list[str]]]:
    """Replace the commands: a training takes time, an evaluation finds what is told."""
    called: list[tuple[str, list[str]]] = []

    def run_module(words: list[str], folder: Path) -> None:
        called.append((folder.name, words))
        algo = words[words.index("--algo") + 1]
        run = folder / algo / f"{GAME}_1"
        run.mkdir(parents=True, exist_ok=True)
        if "evaluate" not in words:
            time.sleep(0.2)
            (run / "0.monitor.csv").write_text('#{"t_start": 0.0}\nr,l,t\n1.0,70,1.0\n')
            return
        content = {"mean": means[folder.name], "std": 1.0}
        (run / "evaluation.json").write_text(json.dumps({**content, "scores": []}))

    monkeypatch.setattr(one_hour, "run_module", run_module)
    monkeypatch.setattr(one_hour, "read_run", lambda folder: type("Run", (), {"n_steps": 70}))
    return called


def run_main(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["one_hour.py", "--folder", str(folder), *arguments])
    one_hour.main()


def test_both_have_the_same_time_and_play_the_same_games(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called = fake_modules(monkeypatch, {"ours": 40.0, "stock": 8.0})
    run_main(monkeypatch, tmp_path, "--minutes", "6", "--seed", "3")
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["ours"], result["stock"]) == (40.0, 8.0)
    assert result["steps"] == {"ours": 70, "stock": 70}
    assert [folder for folder, _ in called] == ["ours", "ours", "stock", "stock"]
    (_, mine), (_, my_score), (_, theirs), (_, their_score) = called
    n_steps = load_hyperparams("fast_dqn_laptop")[GAME]["n_timesteps"]
    tenth = n_steps * 6 / one_hour.YML_MINUTES
    assert mine[mine.index("-n") + 1] == str(round(tenth))
    assert theirs[0] == "rl_zoo3.train"
    assert not {"-conf", "-n", "--num-threads"} & set(theirs)  # its own yml, all cores
    minutes = result["minutes"]["ours"]
    assert f"{{'minutes': {minutes}}}" in theirs[theirs.index("-params") + 1]
    for words in (mine, theirs):
        assert words[words.index("--seed") + 1] == "3"
        assert words[words.index("--eval-freq") + 1] == "-1"
    assert my_score[-4:] == their_score[-4:] == ["-n", "30", "--seed", "1000"]


def test_what_was_scored_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called = fake_modules(monkeypatch, {"stock": 8.0})
    (tmp_path / "ours").mkdir()
    known = {"score": 41.5, "sd": 9.0, "minutes": 58.2, "steps": 10}
    (tmp_path / "ours" / "result.json").write_text(json.dumps(known))
    run_main(monkeypatch, tmp_path)
    assert [folder for folder, _ in called] == ["stock", "stock"]
    printed = capsys.readouterr().out
    assert "'minutes': 58.2}" in called[0][1][called[0][1].index("-params") + 1]
    assert "41.50 +-   9.00" in printed


@pytest.mark.services
def test_both_sides_really_train_and_are_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(one_hour, "N_GAMES", 1)
    run_main(monkeypatch, tmp_path, "--minutes", "0.02")
    result: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    n_steps = load_hyperparams("fast_dqn_laptop")[GAME]["n_timesteps"]
    wanted = n_steps * 0.02 / one_hour.YML_MINUTES
    assert result["steps"]["ours"] == pytest.approx(wanted, abs=16)
    seconds = 60 * result["minutes"]["ours"]
    assert 10 < result["steps"]["stock"] < 3000 * seconds
    ends = (tmp_path / "stock" / "output.txt").read_text()
    assert "Mean reward" not in ends
