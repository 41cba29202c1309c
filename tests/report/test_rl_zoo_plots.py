"""RL Zoo's own plotting tools on run folders of our launcher."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_vec_env

from sb3_atari_course import QLearning
from sb3_atari_course.callbacks import CsvLog

LAKE = "FrozenLake-v1"


@pytest.fixture(autouse=True)
def _style_of_others() -> Iterator[None]:
    """Restore the style, which importing the tools changes; close the figures they leave open."""
    with matplotlib.rc_context():
        yield
        plt.close("all")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a log folder with two seeds, each with games, an evaluation and SB3's log."""
    folder = tmp_path_factory.mktemp("logs")
    for seed in (1, 2):
        run = folder / f"q_learning/{LAKE}_{seed}"
        env = make_vec_env(LAKE, seed=seed, monitor_dir=str(run))
        evaluation = EvalCallback(
            make_vec_env(LAKE, seed=seed),
            eval_freq=100,
            n_eval_episodes=10,
            log_path=str(run),
            verbose=0,
        )
        model = QLearning("QTablePolicy", env, seed=seed)
        model.learn(400, callback=[evaluation, CsvLog(run)])
        model.logger.close()
        env.close()
    return folder


def call(tool: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Call a tool as ``python -m rl_zoo3.plots...`` does."""
    import rl_zoo3.plots

    monkeypatch.setattr("sys.argv", [tool, *arguments])
    getattr(rl_zoo3.plots, tool)()


def test_plot_train_draws_a_line_per_run(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ("-a", "q_learning", "-e", "FrozenLake", "-f", str(logs), "-w", "3")
    call("plot_train", monkeypatch, *flags)
    lines = plt.gcf().axes[0].get_lines()
    assert {line.get_label() for line in lines} == {f"{LAKE}_1", f"{LAKE}_2"}
    assert all(0 < np.asarray(line.get_xdata()).max() <= 400 for line in lines)


def test_all_plots_averages_seeds_and_plot_from_file_draws_them(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, figure = tmp_path / "results", tmp_path / "figure.png"
    flags = ("-a", "q_learning", "-e", "FrozenLake", "-f", str(logs), "-l", "x", "-min", "1")
    call("all_plots", monkeypatch, *flags, "-o", str(results))
    with open(f"{results}.pkl", "rb") as file:
        found = pickle.load(file)["FrozenLake"]["Q_LEARNING-x"]
    assert found["timesteps"].tolist() == [100, 200, 300, 400]
    runs = [np.load(logs / f"q_learning/{LAKE}_{seed}/evaluations.npz") for seed in (1, 2)]
    naive = [np.mean([run["results"][i] for run in runs]) for i in range(4)]
    np.testing.assert_allclose(found["mean"], naive)
    call("plot_from_file", monkeypatch, "-i", str(results), "-b", "-o", str(figure), "--format=png")
    assert figure.read_bytes().startswith(b"\x89PNG")
