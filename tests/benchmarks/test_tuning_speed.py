"""What tuning costs: both sides do the same work."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.storages import InMemoryStorage

from benchmarks import tuning_speed
from sb3_atari_course.tuning.study import find_study
from sb3_atari_course.tuning.trial import prepare


@pytest.fixture(autouse=True, scope="module")
def _algorithms() -> None:
    prepare(native=False)


def test_empty_trials_have_parameters_scores_and_no_training(tmp_path: Path) -> None:
    storage = InMemoryStorage()
    seconds = tuning_speed.bookkeeping(storage, tmp_path, 4)
    trials = find_study(storage, "empty").trials
    assert len(trials) == 4
    assert all(len(trial.params) > 10 for trial in trials)
    assert all(len(trial.intermediate_values) == 4 for trial in trials)
    assert 0 < seconds < 10
    assert not list(tmp_path.iterdir())


def test_the_training_alone_is_that_of_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(tuning_speed.EQUAL, "n_timesteps", 1200)
    monkeypatch.setitem(tuning_speed.EQUAL, "n_games", 1)
    inside, alone = tuning_speed.with_and_without(InMemoryStorage(), tmp_path, 1)
    assert inside > 0 < alone
    scores = [line for line in capsys.readouterr().out.splitlines() if "steps" in line]
    assert len(scores) == 16  # two rounds of two sides of four scores
    assert scores[0:4] == scores[4:8]
    assert scores[8:12] == scores[12:16]
