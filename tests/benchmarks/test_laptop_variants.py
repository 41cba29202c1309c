"""The benchmark of variants: one core each, and what was scored is not trained again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import laptop_variants
from benchmarks.one_hour import GAME


def run_main(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> None:
    words = ["laptop_variants.py", "--folder", str(folder), *arguments]
    monkeypatch.setattr(sys, "argv", words)
    laptop_variants.main()


def test_what_was_scored_is_told_best_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, score in (("the_yml", 14.5), ("not_dueling", 9.0), ("no_Double_DQN", 15.0)):
        folder = tmp_path / name
        folder.mkdir()
        result = {"score": score, "sd": 1.0, "minutes": 7, "steps": 1000}
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
