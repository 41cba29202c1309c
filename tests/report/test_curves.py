"""Learning curves of one run and of several, their groups and intervals; episodes."""

from __future__ import annotations

import base64
import io
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sb3_atari_course.report import plot_comparison, plot_episodes, plot_run, write_report
from sb3_atari_course.report.curves import (
    N_POINTS,
    draw_comparison,
    draw_run,
    group_runs,
    make_figure,
    mean_of_seeds,
    plain,
    read_runs,
)
from sb3_atari_course.report.run_data import Curve, read_run
from tests.report.run_folders import EVALUATION, PROGRESS, lines, make_run, write_games


def curve(steps: list[float], values: list[float]) -> Curve:
    return Curve(np.array(steps, dtype=float), np.array(values, dtype=float))


def test_curve_of_a_single_seed_is_unchanged() -> None:
    mean = mean_of_seeds([curve([1, 5], [2, 3])])
    assert [part.tolist() for part in mean] == [[1, 5], [2, 3], [0, 0]]


def test_mean_covers_the_steps_common_to_all_seeds() -> None:
    mean = mean_of_seeds([curve([0, 50, 90], [1, 2, 3]), curve([20, 200], [5, 6])])
    assert (mean.steps[0], mean.steps[-1], len(mean.steps)) == (20, 90, N_POINTS)
    assert (mean.values[0], mean.values[-1]) == (3.0, 4.0)  # (1 + 5) / 2 and (3 + 5) / 2


@pytest.mark.parametrize("seed", range(3))
def test_mean_and_interval_use_the_last_value_of_each_seed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seeds = [
        Curve(np.cumsum(rng.integers(1, 30, n)).astype(float), rng.normal(size=n))
        for n in rng.integers(40, 60, 4)
    ]
    mean = mean_of_seeds(seeds)
    for i in range(0, N_POINTS, 17):
        known = [[v for s, v in zip(*one, strict=True) if s <= mean.steps[i]][-1] for one in seeds]
        assert mean.values[i] == pytest.approx(sum(known) / 4)
        variance = sum((value - sum(known) / 4) ** 2 for value in known) / 3
        # 3.1824: Student's t of 3 degrees of freedom, from a table
        assert mean.half_width[i] == pytest.approx(3.1824 * (variance / 4) ** 0.5, rel=1e-4)


def test_rejects_seeds_without_a_common_step() -> None:
    with pytest.raises(ValueError, match=r"step 20, another .* step 30"):
        mean_of_seeds([curve([0, 20], [0, 0]), curve([30, 40], [0, 0])])


def groups_of(folders: list[Path]) -> list[tuple[str, str]]:
    return [(group.name, group.count) for group in group_runs([read_run(one) for one in folders])]


def test_groups_by_algorithm_and_environment(tmp_path: Path) -> None:
    pairs = [("dqn", "A-v1"), ("qrdqn", "A-v1"), ("dqn", "A-v1"), ("dqn", "B-v1")]
    runs = [
        read_run(make_run(tmp_path / str(i), algo=algo, env_id=env_id, seed=i))
        for i, (algo, env_id) in enumerate(pairs)
    ]
    groups = group_runs(runs)
    found = [(group.name, group.env_id, group.count) for group in groups]
    assert found == [
        ("dqn", "A-v1", "2 seeds"),
        ("qrdqn", "A-v1", "1 seed"),
        ("dqn", "B-v1", "1 seed"),
    ]
    assert groups[0].runs == (runs[0], runs[2])


WRAPPERS = [
    [{"sb3_atari_course.envs.wrap_atari": {"n_stack": 4, "crop": crop}}, "other.Wrapper"]
    for crop in ([30, 195, 5, 155], None)
]


@pytest.mark.parametrize(
    ("configs", "names"),
    [
        (
            [{"gamma": 0.9, "tau": 1}, {"gamma": 0.99, "tau": 1}, {"tau": 1, "gamma": 0.9}],
            ["dqn, gamma 0.9", "dqn, gamma 0.99"],
        ),
        ([{"a": 1}, {"a": 1, "b": "x" * 60}], ["dqn, b default", f"dqn, b {'x' * 35}..."]),
        (
            [{"env_wrapper": wrappers, "gamma": 0.9} for wrappers in WRAPPERS],
            ["dqn, crop [30, 195, 5, 155]", "dqn, crop None"],
        ),
        ([{"gamma": 0.9, "n_timesteps": n} for n in (100, 200)], ["dqn"]),
    ],
    ids=["order", "default", "deep", "length"],
)
def test_groups_by_settings_and_labels_the_differences(
    configs: list[dict[str, Any]], names: list[str], tmp_path: Path
) -> None:
    folders = [make_run(tmp_path / str(i), config=config) for i, config in enumerate(configs)]
    assert [name for name, _ in groups_of(folders)] == names


def test_run_started_from_another_model_is_a_separate_group(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / str(n), seed=n) for n in range(3)]
    arguments = folders[2] / "CartPole-v1/args.yml"
    arguments.write_text("algo: dqn\nenv: CartPole-v1\nseed: 2\ntrained_agent: a.zip\n")
    assert groups_of(folders) == [
        ("dqn, trained_agent default", "2 seeds"),
        ("dqn, trained_agent a.zip", "1 seed"),
    ]


def test_runs_with_equal_seeds_are_counted_as_runs(tmp_path: Path) -> None:
    assert groups_of([make_run(tmp_path / str(i), seed=1) for i in range(2)]) == [("dqn", "2 runs")]


def test_rejects_runs_that_cannot_be_compared(tmp_path: Path) -> None:
    run, bare = make_run(tmp_path / "a"), tmp_path / "bare"
    bare.mkdir()
    write_games(bare, [1])
    for folders, match in (
        ([run], "at least two runs, got 1"),
        ([run, tmp_path / "a/../a"], "given twice"),
        ([run, bare], "bare has neither"),
    ):
        with pytest.raises(ValueError, match=match):
            plot_comparison(folders, tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"args\.yml"):
        group_runs([read_run(bare)])


def test_draws_seeds_as_mean_with_confidence_interval(tmp_path: Path) -> None:
    """Constant scores 1, 2, 3: mean 2, SD 1, half width 4.3027 / sqrt(3) = 2.4842."""
    runs = [make_run(tmp_path / str(n), [n, n, n], seed=n) for n in (1, 2, 3)]
    (axes,) = draw_comparison(read_runs(runs)).axes
    (label,) = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "mean of 3 seeds" in label
    *singles, mean = axes.get_lines()
    np.testing.assert_allclose(mean.get_ydata(), 2.0)
    assert mean.get_label() == label
    assert [np.asarray(line.get_ydata()).tolist() for line in singles] == [
        [n] * 3 for n in (1, 2, 3)
    ]
    ((band,),) = ([path.vertices for path in band.get_paths()] for band in axes.collections)
    np.testing.assert_allclose([band[:, 1].min(), band[:, 1].max()], [-0.4842, 4.4842], atol=1e-3)
    assert axes.get_xlabel() == "agent steps"


def test_each_environment_has_a_panel_and_each_group_a_line(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / f"{algo}{env_id}", algo=algo, env_id=env_id)
        for algo, env_id in [("dqn", "A-v1"), ("qrdqn", "A-v1"), ("dqn", "B-v1")]
    ]
    figure = draw_comparison(read_runs(runs))
    assert [axes.get_title() for axes in figure.axes] == ["A-v1", "B-v1"]
    labels = [axes.get_legend_handles_labels()[1] for axes in figure.axes]
    assert labels == [["dqn: 1 seed", "qrdqn: 1 seed"], ["dqn: 1 seed"]]
    assert len({line.get_color() for line in figure.axes[0].get_lines()}) == 2


def test_wide_interval_does_not_flatten_the_curves(tmp_path: Path) -> None:
    """Two seeds at 0 and 10: the interval is 5 +- 63.5."""
    runs = [make_run(tmp_path / str(n), [n, n], seed=n) for n in (0, 10)]
    assert draw_comparison(read_runs(runs)).axes[0].get_ylim() == (-5, 15)


def test_wraps_long_legend_labels(tmp_path: Path) -> None:
    configs = [{f"setting_{i}": f"{value}" * 20 for i in range(4)} for value in "xy"]
    runs = [make_run(tmp_path / str(n), config=config) for n, config in enumerate(configs)]
    labels = draw_comparison(read_runs(runs)).axes[0].get_legend_handles_labels()[1]
    assert [len(label.splitlines()) for label in labels] == [2, 2]
    assert all(len(line) <= 95 for label in labels for line in label.splitlines())


def test_draws_scores_evaluations_loss_and_epsilon(tmp_path: Path) -> None:
    """150 games of 100 frames and the scores 0.5, 1.5, ... in 3,750 agent steps."""
    write_games(tmp_path, [game + 0.5 for game in range(150)])
    (tmp_path / "progress.csv").write_text(f"{PROGRESS}100,,0.9\n500,0.02,0.5\n3750,0.01,0.1\n")
    np.savez(
        tmp_path / "evaluations.npz", timesteps=np.array([500, 1000]), results=[[1, 2], [3, 5]]
    )
    figure = draw_run(read_run(tmp_path))
    scores, loss, epsilon = lines(figure)
    steps = [25.0 * game for game in range(1, 151)]
    assert scores["one full game"] == (steps, [game + 0.5 for game in range(150)])
    average = scores["mean of the last 100 games"]
    assert average[0] == steps
    assert average[1][:2] == [0.5, 1.0]
    assert average[1][-1] == np.mean([game + 0.5 for game in range(50, 150)])
    assert scores["RL Zoo's evaluation"] == ([500, 1000], [1.5, 4.0])
    assert "random play" not in scores
    assert loss[""] == ([500, 3750], [0.02, 0.01])
    assert epsilon[""] == ([100, 500, 3750], [0.9, 0.5, 0.1])
    assert [axes.get_ylabel() for axes in figure.axes] == ["unclipped score", "loss", "epsilon"]
    assert figure.axes[-1].get_xlabel() == "agent steps"


def test_draws_a_run_that_has_monitor_files_only(tmp_path: Path) -> None:
    figure = draw_run(read_run(write_games(tmp_path, [1, 2, 3])))
    scores, loss, epsilon = lines(figure)
    assert scores["one full game"][0] == [100, 200, 300]
    assert loss[""] == epsilon[""] == ([], [])
    assert figure.axes[-1].get_xlabel() == "steps, as Monitor counts them"
    notes = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert notes == [[], ["not logged"], ["not logged"]]


def test_draws_td_error_and_random_play(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", evaluation=EVALUATION)
    log = "time/total_timesteps,train/td_error,rollout/exploration_rate\n"
    (run / "progress.csv").write_text(f"{log}100,2.5,0.9\n300,1.5,0.8\n")
    figure = draw_run(read_run(run))
    assert lines(figure)[1][""] == ([100, 300], [2.5, 1.5])
    assert figure.axes[1].get_ylabel() == "mean |TD error|"
    assert lines(figure)[0]["random play"][1] == [20.0, 20.0]


def test_figures_are_written_to_the_run_folder_or_output_path(tmp_path: Path) -> None:
    run = make_run(tmp_path / r"a$\frac$b")  # a dollar sign starts no formula
    other = make_run(tmp_path / "other")
    for path, wanted in (
        (plot_run(run), run / "learning_curve.png"),
        (plot_run(run, output=tmp_path / "new/a"), tmp_path / "new/a/learning_curve.png"),
        (plot_comparison([run, other], tmp_path / "b/c.png"), tmp_path / "b/c.png"),
    ):
        assert path == wanted
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("text", ["a$b$c", r"$\frac$", "one $", "$$", "two\nlines\there"])
def test_names_are_not_parsed_as_formulas(text: str) -> None:
    figure, axes = make_figure(1)
    title = axes.set_title(plain(text))
    figure.savefig(io.BytesIO())  # would fail on an invalid formula
    assert not title._preprocess_math(title.get_text())[1]
    assert title._preprocess_math(title.get_text())[0] == " ".join(text.split())


def test_rasterizes_thousands_of_points_in_an_svg(tmp_path: Path) -> None:
    """2,001 of them: as shapes they would be more than the same number of elements."""
    run = make_run(tmp_path / "run", [float(n % 7) for n in range(2001)])
    page = write_report(run).read_text(encoding="utf-8")
    found = re.search(r"data:image/svg\+xml;base64,([^\"]+)", page)
    assert found is not None
    svg = base64.b64decode(found[1]).decode()
    assert 'href="data:image/png;base64,' in svg
    assert svg.count("<use") < 500


@pytest.mark.parametrize("module", ["matplotlib", "pandas", "scipy"])
def test_error_names_the_missing_extra(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match="plots"):
        plot_run(write_games(tmp_path, [1, 2, 3]))


def test_plots_lengths_and_returns_of_episodes() -> None:
    figure = plot_episodes([10, 20, 60], [-4, -2, 3], window=2)
    steps, returns = lines(figure)
    assert steps[""] == ([0, 1, 2], [10, 20, 60])
    assert steps["steps, mean of the last 2 episodes"] == ([0, 1, 2], [10, 15, 40])
    assert returns[""] == ([0, 1, 2], [-4, -2, 3])
    assert returns["return, mean of the last 2 episodes"] == ([0, 1, 2], [-4, -3, 0.5])
    assert [axes.get_ylabel() for axes in figure.axes] == ["steps", "return"]


def test_window_may_exceed_the_number_of_episodes() -> None:
    steps, _ = lines(plot_episodes([10, 20], [0, 0], window=100))
    assert steps["steps, mean of the last 100 episodes"][1] == [10, 15]


@pytest.mark.parametrize(
    ("lengths", "returns", "window", "message"),
    [
        ([], [], 100, "episode"),
        ([1], [1, 2], 100, "got 1 and 2"),
        ([1], [1], 0, "window .* 0"),
    ],
)
def test_rejects_invalid_episodes(
    lengths: list[int], returns: list[int], window: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plot_episodes(lengths, returns, window=window)
