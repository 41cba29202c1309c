"""QLearning runs of our launcher: RL Zoo's commands and flags, our yml."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from sb3_atari_course import QLearning
from sb3_atari_course.course.toy_text import evaluate_exactly
from sb3_atari_course.zoo.run_folder import find_run
from tests.zoo.runs import printed_by

#: RL Zoo leaves monitor files open.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

RUN = ["--algo", "q_learning", "--env", "CliffWalking-v1"]
TRAIN = ["train", "--num-threads", "1", "--eval-freq", "-1"]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a log folder with a full training with our yml, started in an empty folder."""
    folder = tmp_path_factory.mktemp("logs")
    printed_by(*TRAIN, *RUN, "--seed", "3", "--save-freq", "5000", cwd=folder)
    return folder / "logs"


def test_train_uses_our_yml_and_learns_the_optimal_policy(logs: Path) -> None:
    model = QLearning.load(logs / "q_learning/CliffWalking-v1_1/CliffWalking-v1.zip")
    assert model.learning_rate(0.5) == model.exploration * 10 == 1.0  # type: ignore[operator]
    assert evaluate_exactly(model, "CliffWalking-v1").mean_return == pytest.approx(-13)
    with open(logs / "q_learning/CliffWalking-v1_1/progress.csv") as file:
        rows = list(csv.DictReader(file))
    assert int(rows[-1]["time/total_timesteps"]) == 12_000  # the last steps are logged too
    assert float(rows[-1]["train/td_error"]) < float(rows[0]["train/td_error"])


def test_early_stop_is_printed_with_steps(tmp_path: Path) -> None:
    conf = tmp_path / "conf.yml"
    conf.write_text(
        "Taxi-v4:\n  policy: QTablePolicy\n  n_timesteps: 5000\n  callback:\n"
        "    - stable_baselines3.common.callbacks.StopTrainingOnMaxEpisodes: {max_episodes: 2}\n"
    )
    printed = printed_by(
        *(*TRAIN, "--algo", "q_learning", "--env", "Taxi-v4", "-f", str(tmp_path)),
        *("-conf", str(conf), "--seed", "1"),  # its first episodes are truncated
    )
    assert "stopped after 400 of 5000 steps" in printed


def test_evaluate_and_enjoy_print_the_return(logs: Path) -> None:
    printed = printed_by(
        *("evaluate", *RUN, "-f", str(logs), "-n", "3", "--penalty", "-100"),
        *("--max-frames", "300"),
    )
    assert "CliffWalking-v1: -13.00 +- 0.00 (mean +- SD of 3 games)" in printed
    assert "length: 13.0 steps a game, penalties: 0.00 a game" in printed
    report = json.loads((logs / "q_learning/CliffWalking-v1_1/evaluation.json").read_text())
    assert report["penalties"] == [0, 0, 0]
    printed = printed_by("enjoy", *RUN, "--no-render", "-n", "26", cwd=logs.parent)
    assert "Episode Reward: -13.00" in printed


def test_training_continues_from_a_checkpoint(logs: Path, tmp_path: Path) -> None:
    run = find_run("q_learning", "CliffWalking-v1", logs, load_checkpoint=10_000)
    early = run.load_model()
    assert isinstance(early, QLearning)
    assert early.num_timesteps == 10_000
    printed_by(*TRAIN, *RUN, "-f", str(tmp_path), "-n", "1000", "-i", str(run.model_path))
    later = QLearning.load(tmp_path / "q_learning/CliffWalking-v1_1/CliffWalking-v1.zip")
    assert later.policy.visits.sum() == 11_000


@pytest.mark.parametrize(
    ("params", "rate", "epsilon"),  # after step 59 of 60
    [
        (["learning_rate:'visits'", "exploration:'lin_0.4'"], None, 0.4 / 60),
        (["learning_rate:'lin_0.5'", "exploration:dict(decay=0.5)"], 0.5 / 60, 1.0),
    ],
)
def test_params_flag_accepts_schedules_as_strings(
    params: list[str], rate: float | None, epsilon: float, tmp_path: Path
) -> None:
    run = [*RUN, "-f", str(tmp_path), "--seed", "1"]  # no episode ends within 60 steps
    printed_by(*TRAIN, *run, "-n", "60", "-params", *params)
    model = QLearning.load(tmp_path / "q_learning/CliffWalking-v1_1/CliffWalking-v1.zip")
    assert model.current_learning_rate == pytest.approx(rate)
    assert model.exploration_rate == pytest.approx(epsilon)


def test_env_kwargs_flag_is_merged_with_the_yml(tmp_path: Path) -> None:
    """Without max_episode_steps of the yml an evaluation on CliffWalking may never end."""
    printed_by(
        *(*TRAIN, *RUN, "-f", str(tmp_path), "-n", "2000"),
        *("--env-kwargs", "is_slippery:True"),
    )
    run = find_run("q_learning", "CliffWalking-v1", tmp_path)
    assert run.env_kwargs == {"max_episode_steps": 200, "is_slippery": True}


def test_optimize_runs_trials_with_several_environments(tmp_path: Path) -> None:
    printed = printed_by(
        *(*TRAIN, *RUN, "-f", str(tmp_path), "-n", "400", "-params", "n_envs:2"),
        *("-optimize", "--n-trials", "2", "--no-optim-plots", "--eval-episodes", "1"),
    )
    assert "Number of finished trials:  2" in printed
    assert "learning_rate_kind" in printed
    (report,) = (tmp_path / "q_learning").glob("report_*.csv")
    with open(report) as file:
        values = [float(row["value"]) for row in csv.DictReader(file)]
    assert len(values) == 2
    assert all(-100 * 200 <= value <= -13 for value in values)
