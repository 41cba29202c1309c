"""Report of a study: best yml, table of trials, plots."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna import Study
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from sb3_atari_course.tuning.search import best_block, write_report
from tests.tuning.studies import ICE, TABLE, make_study

FILE = Path("my studies/best.yml")

#: learning rate, gamma, score
TRIALS = [(0.5, 0.99, 0.2), (0.1234567, 0.9, 0.8), (0.9, 0.99, 0.6), (0.3, 0.9, 0.4)]


def study_of(trials: list[tuple[float, float, float]], **changes: Any) -> Study:
    study = make_study(n_trials=4, **changes)
    for rate, gamma, score in trials:
        study.add_trial(
            create_trial(
                value=score,
                params={"learning_rate": rate, "gamma": gamma},
                distributions={
                    "learning_rate": FloatDistribution(0.1, 1.0),
                    "gamma": CategoricalDistribution([0.9, 0.99]),
                },
                intermediate_values={500: score / 2, 1000: score},
            )
        )
    return study


def test_best_block_is_a_yml_entry_of_rl_zoo() -> None:
    block = best_block(study_of(TRIALS), FILE)
    assert yaml.safe_load(block) == {
        ICE: {
            **TABLE,
            "learning_rate": 0.123,
            "gamma": 0.9,
            "policy_kwargs": {"initial_value": 0.0},
        }
    }


def test_best_block_has_score_and_command() -> None:
    lines = best_block(study_of(TRIALS), FILE).splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        "# Study ice: trial 2, the best of 4 finished.",
        "# Score 0.8, mean of 5 games at epsilon 0 after one training.",
        "# Scores vary between seeds: train with several before comparing.",
        "#   python -m sb3_atari_course train --algo q_learning --env FrozenLake-v1"
        " -conf 'my studies/best.yml' --seed 1",
    ]
    several = best_block(study_of(TRIALS, n_repeats=3, gym_packages=("my.games",)), FILE)
    assert "mean of 5 games at epsilon 0 after each of 3 trainings.\n" in several
    assert "--seed 1 --gym-packages my.games\n" in several


def test_best_block_needs_a_complete_trial() -> None:
    study = make_study()
    study.add_trial(create_trial(state=TrialState.PRUNED))
    with pytest.raises(ValueError, match="study 'ice' has no complete trial"):
        best_block(study, FILE)


def test_report_has_best_yml_table_and_plots(tmp_path: Path) -> None:
    files = write_report(study_of(TRIALS), tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in files] == [
        "best.yml",
        "trials.csv",
        "plots/optimization_history.html",
        "plots/param_importances.html",
        "plots/slice.html",
        "plots/parallel_coordinate.html",
    ]
    for path in files:
        assert path.stat().st_size > 100
        if path.suffix == ".html":
            assert "plotly.min.js" in path.read_text(encoding="utf-8")
    assert (tmp_path / "plots/plotly.min.js").is_file()
    assert yaml.safe_load((tmp_path / "best.yml").read_text())[ICE]["gamma"] == 0.9
    with open(tmp_path / "trials.csv") as file:
        waiting, *rows = csv.DictReader(file)
    assert waiting["state"] == "WAITING"
    assert [float(row["value"]) for row in rows] == [0.2, 0.8, 0.6, 0.4]
    assert [float(row["params_learning_rate"]) for row in rows] == [0.5, 0.1234567, 0.9, 0.3]


def test_report_of_a_single_trial_is_complete(tmp_path: Path) -> None:
    assert len(write_report(study_of(TRIALS[:1]), tmp_path)) == 6
