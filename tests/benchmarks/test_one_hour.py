"""The benchmark of an hour: equal time, the same games, and that it goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3.common.save_util import save_to_zip_file

from benchmarks import one_hour
from sb3_atari_course.hyperparams import hyperparams_file, load_hyperparams
from tests.fakes import Clock

GAME = one_hour.GAME


def fake_modules(
    monkeypatch: pytest.MonkeyPatch, means: dict[str, float]
) -> list[tuple[str, list[str]]]:
    """Replace the commands: a training takes 90 seconds, an evaluation finds what is told."""
    clock = Clock()
    called: list[tuple[str, list[str]]] = []

    def run_module(words: list[str], folder: Path) -> None:
        called.append((folder.name, words))
        algo = words[words.index("--algo") + 1]
        run = folder / algo / f"{GAME}_1"
        run.mkdir(parents=True, exist_ok=True)
        if "evaluate" not in words:
            clock.now += 90
            save_to_zip_file(run / f"{GAME}.zip", data={"num_timesteps": 70}, params={})
            return
        content = {"mean": means[folder.name], "std": 1.0}
        (run / "evaluation.json").write_text(json.dumps({**content, "scores": []}))

    monkeypatch.setattr(one_hour, "run_module", run_module)
    monkeypatch.setattr(one_hour, "time", clock)
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
    assert result["minutes"] == {"ours": 1.5, "stock": 1.5}
    assert "{'minutes': 1.5}" in theirs[theirs.index("-params") + 1]
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
    words = ["sb3_atari_course", "train", "--algo", "fast_dqn", "--vec-env", "native", "-conf"]
    words += [str(hyperparams_file("fast_dqn_laptop")), "-n", "625000", "--save-freq", "50000"]
    words += ["--seed", "1", "--eval-freq", "-1"]
    (tmp_path / "ours" / "result.json").write_text(json.dumps({**known, "words": words}))
    run_main(monkeypatch, tmp_path, "--minutes", "30")
    assert [folder for folder, _ in called] == ["stock", "stock"]
    with pytest.raises(SystemExit, match="ours holds another training"):
        run_main(monkeypatch, tmp_path, "--minutes", "30", "--seed", "2")
    printed = capsys.readouterr().out
    assert "'minutes': 58.2}" in called[0][1][called[0][1].index("-params") + 1]
    assert "41.50 +-   9.00" in printed


def test_what_was_trained_is_only_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called = fake_modules(monkeypatch, {"ours": 40.0, "stock": 8.0})
    fake = one_hour.run_module

    def stop(words: list[str], folder: Path) -> None:
        if "evaluate" in words:
            raise KeyboardInterrupt
        fake(words, folder)

    monkeypatch.setattr(one_hour, "run_module", stop)
    with pytest.raises(KeyboardInterrupt):
        run_main(monkeypatch, tmp_path)
    monkeypatch.setattr(one_hour, "run_module", fake)
    run_main(monkeypatch, tmp_path)
    done = ["train" if "evaluate" not in words else "score" for _, words in called]
    assert done == ["train", "score", "train", "score"]
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["minutes"] == {"ours": 1.5, "stock": 1.5}


def test_a_command_that_fails_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no_such_module x ended with status 1: .*output\.txt"):
        one_hour.run_module(["no_such_module", "x", "y"], tmp_path)
    assert "No module named no_such_module" in (tmp_path / "output.txt").read_text()


@pytest.mark.parametrize("minutes", ["0", "-3"])
def test_no_time_is_refused(
    minutes: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run_main(monkeypatch, tmp_path, "--minutes", minutes)
    assert f"--minutes must be above 0, got {minutes}" in capsys.readouterr().err


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
    said = (tmp_path / "stock" / "output.txt").read_text()
    assert "Eval num_timesteps" not in said
