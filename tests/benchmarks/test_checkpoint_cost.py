"""What a checkpoint costs: the whole way at toy size."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks import checkpoint_cost


def test_the_last_line_is_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["checkpoint_cost.py", "--quick"])
    checkpoint_cost.main()
    *_, comparison, line = capsys.readouterr().out.splitlines()
    result = json.loads(line)
    assert comparison.endswith("the batches are the same")
    assert 0 < result["seconds"] <= result["seconds_max"]
    assert result["share_of_time"] == pytest.approx(
        result["seconds"] * result["steps_per_second"] / 200, rel=0.1
    )
