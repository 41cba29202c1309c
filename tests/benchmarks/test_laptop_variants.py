"""The benchmark of variants: one core each, and what was scored is not trained again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import laptop_variants
from benchmarks.laptop_variants import VARIANTS, settings_of
from benchmarks.one_hour import GAME
from sb3_atari_course.hyperparams import load_hyperparams


def run_main(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> None:
    words = ["laptop_variants.py", "--folder", str(folder), *arguments]
    monkeypatch.setattr(sys, "argv", words)
    laptop_variants.main()


_WRAPPER = "sb3_atari_course.envs.wrap_atari"
#: Variant -> where, and what stands there then.
CHANGES: dict[str, dict[tuple[Any, ...], Any]] = {
    "the yml": {},
    "rewards of 5 steps": {("replay_buffer_kwargs", "n_steps"): 5},
    "rewards of 1 step": {("replay_buffer_kwargs", "n_steps"): 1},
    "learning rate 0.001": {("learning_rate",): "lin_0.001"},
    "learning rate 0.0005 all along": {("learning_rate",): 0.0005},
    "target network every 8,000 steps": {("target_update_interval",): 8000},
    "half the updates, batch 64": {("gradient_steps",): 2, ("batch_size",): 64},
    "half the updates": {("gradient_steps",): 2},
    "no Double DQN": {("double_q",): False},
    "not dueling": {("policy_kwargs", "dueling"): False},
    "coarser first layer": {
        ("policy_kwargs", "features_extractor_kwargs", "layers", 0): [16, 5, 3]
    },
    "64 x 64 pixels": {("env_wrapper", 0, _WRAPPER, "shape"): [64, 64]},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_the_yml_with_one_thing_changed(name: str) -> None:
    expected = load_hyperparams("fast_dqn_laptop")[GAME]
    for keys, value in CHANGES[name].items():
        place = expected
        for key in keys[:-1]:
            place = place[key]
        assert place[keys[-1]] != value
        place[keys[-1]] = value
    end = {"benchmarks.wall_clock.WallClock": {"minutes": 7}}
    expected |= {"n_timesteps": 10**9, "compile": False, "callback": [end]}
    assert settings_of(name, 7) == expected


def test_what_was_scored_is_told_best_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, score in (("the_yml", 14.5), ("not_dueling", 9.0), ("no_Double_DQN", 15.0)):
        folder = tmp_path / name
        folder.mkdir()
        asked = [name.replace("_", " "), "7 minutes"]
        result = {"score": score, "sd": 1.0, "minutes": 7, "steps": 1000, "words": asked}
        (folder / "result.json").write_text(json.dumps(result))
    names = ["the yml", "not dueling", "no Double DQN"]
    run_main(monkeypatch, tmp_path, *names)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:13].rstrip() for line in lines[1:4]] == [
        "no Double DQN",
        "the yml",
        "not dueling",
    ]
    assert list(json.loads(lines[-1])) == names


def test_an_unknown_variant_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run_main(monkeypatch, tmp_path, "no such thing")
    assert "no variant ['no such thing']: choose among ['the yml'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--cores", "0"], ["--minutes", "0"]])
def test_no_core_and_no_time_are_one_line(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run_main(monkeypatch, tmp_path, *arguments)
    assert "--minutes must be above 0 and --cores at least 1, got" in capsys.readouterr().err


@pytest.mark.services
def test_a_variant_trains_for_its_time_on_one_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(laptop_variants, "N_GAMES", 1)
    arguments = ["half the updates", "--minutes", "0.2", "--cores", "1"]
    run_main(monkeypatch, tmp_path, *arguments)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])["half the updates"]
    assert result["steps"] > 500
    (log,) = tmp_path.glob(f"half_the_updates/fast_dqn/{GAME}_1/progress.csv")
    assert "time/time_elapsed" in log.read_text().splitlines()[0]
