"""What a tuned yml is compared by: fresh seeds, an interval of their mean."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import tuned_yml

ENTRY = """CartPole-v1:
  policy: MlpPolicy
  n_timesteps: 300
  learning_starts: 100
  batch_size: {batch_size}
"""


def test_the_interval_is_students() -> None:
    """Of 2, 4, 6: mean 4, deviation 2, 4.303 * 2 / sqrt(3) to both sides."""
    mean, low, high = tuned_yml.interval([2.0, 4.0, 6.0])
    assert mean == 4.0
    assert (low, high) == (pytest.approx(4 - 4.9687, abs=1e-3), pytest.approx(8.9687, abs=1e-3))


def test_it_trains_each_yml_with_the_same_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = []
    for name, batch_size in (("a", 32), ("same", 32), ("b", 8)):
        paths.append(str(tmp_path / f"{name}.yml"))
        Path(paths[-1]).write_text(ENTRY.format(batch_size=batch_size))
    monkeypatch.setattr(tuned_yml, "N_GAMES", 2)
    monkeypatch.setattr(sys, "argv", ["tuned_yml.py", *paths, "rl_zoo3", "--seeds", "2"])
    tuned_yml.main()
    results = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(results) == [*paths, "rl_zoo3"]
    assert results[paths[0]] == results[paths[1]]
    assert all(len(one["scores"]) == 2 for one in results.values())
    for one in results.values():
        assert one["low"] <= one["mean"] <= one["high"]
