"""How an agent was trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sb3_atari_course.agents.publishing import (
    read_provenance,
    wall_clock,
)
from sb3_atari_course.zoo.provenance import PROVENANCE


def test_minutes_are_those_of_the_log(tmp_path: Path) -> None:
    assert wall_clock(tmp_path, 20) is None
    log = "time/total_timesteps,time/time_elapsed,eval/mean_reward\n10,6,\n15,,3\n20,96,\n"
    (tmp_path / "progress.csv").write_text(log)
    found = {n_steps: wall_clock(tmp_path, n_steps) for n_steps in (0, 5, 10, 15, 20, 21)}
    assert found == {0: 0.0, 5: 0.1, 10: 0.1, 15: 0.8, 20: 1.6, 21: 1.6}  # 3, 6, 51, 96 seconds
    (tmp_path / "progress.csv").write_text("time/total_timesteps,eval/mean_reward\n10,6\n")
    assert wall_clock(tmp_path, 10) is None


def test_what_train_has_noted_is_read(tmp_path: Path) -> None:
    assert read_provenance(tmp_path) is None
    settings = tmp_path / "CartPole-v1"
    settings.mkdir()
    note = {"commit": "c0ffee", "versions": {"torch": "1"}, "hardware": "an abacus"}
    (settings / PROVENANCE).write_text(json.dumps(note))
    assert read_provenance(tmp_path) == note
    for broken in ("{", "[]", "{}"):
        (settings / PROVENANCE).write_text(broken)
        with pytest.raises(ValueError, match=r"provenance\.json cannot be read: .*; remove it"):
            read_provenance(tmp_path)
