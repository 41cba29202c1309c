"""Report of a suite: tables by hand, what is aggregated, refusals, self-containedness."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sb3_atari_course.suite.figures import draw_aggregates, draw_profiles, draw_scores
from sb3_atari_course.suite.scores import read_suite, write_tables
from sb3_atari_course.suite.suite_report import write_suite_report
from tests.report.run_folders import make_run, write_games
from tests.report.test_html_report import EVIL, Tags

BREAKOUT, PONG = "BreakoutNoFrameskip-v4", "PongNoFrameskip-v4"


def scored(
    folder: Path,
    algo: str,
    env_id: str,
    seed: int,
    scores: Sequence[float] | None,
    *,
    config: dict[str, Any] | None = None,
    model: str | None = None,
    protocol: dict[str, Any] | None = None,
    random_scores: Sequence[float] = (1.0, 2.0),
) -> Path:
    """Write a run folder, with an evaluation of these games unless they are None."""
    name = env_id.replace("/", "-")
    evaluation = {
        "model": model or f"{name}.zip",
        "env_id": env_id,
        "scores": list(scores or []),
        "lengths": [100] * len(scores or []),
        "random_scores": list(random_scores),
        "penalties": [],
        "protocol": {"n_games": 2, "seed": 7, "epsilon": 0.05, **(protocol or {})},
    }
    return make_run(
        folder / algo / f"{name}_{seed}",
        algo=algo,
        env_id=env_id,
        seed=seed,
        config=config,
        evaluation=None if scores is None else evaluation,
    )


def suite_of(folder: Path, scores: dict[tuple[str, str], Sequence[float]]) -> list[Path]:
    """Write runs of (algorithm, environment) with the seeds 1, 2, ..., and their mean scores."""
    return [
        scored(folder, algo, env_id, seed, [score - 1, score + 1])
        for (algo, env_id), means in scores.items()
        for seed, score in enumerate(means, 1)
    ]


#: Human-normalized: Breakout 0.5 and 1 (DQN), 1 and 1.5 (QR-DQN); Pong 0, 1 and 1, 2.
MIXED = {
    ("dqn", BREAKOUT): [16.1, 30.5],
    ("dqn", PONG): [-20.7, 14.6],
    ("dqn", "CartPole-v1"): [100.0, 200.0],
    ("qrdqn", BREAKOUT): [30.5, 44.9],
    ("qrdqn", PONG): [14.6, 49.9],
}


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a report, with a run that was not evaluated and one without folder."""
    folder = tmp_path_factory.mktemp("suite")
    folders = [*suite_of(folder, MIXED), scored(folder, "dqn", PONG, 9, None)]
    missing = ["qrdqn/CartPole-v1_1: not started"]
    files = write_suite_report(folders, folder / "new/out", missing=missing, title="Two <games>")
    assert sorted(files) == sorted((folder / "new/out").iterdir())
    assert files[-1] == folder / "new/out/report.html"
    return folder / "new/out"


@pytest.fixture(scope="module")
def page(output: Path) -> str:
    return (output / "report.html").read_text(encoding="utf-8")


def test_scores_have_a_row_for_each_run(output: Path) -> None:
    table = rows(output / "scores.csv")
    assert [(row["algo"], row["env"], row["seed"]) for row in table[:3]] == [
        ("dqn", BREAKOUT, "1"),
        ("dqn", BREAKOUT, "2"),
        ("qrdqn", BREAKOUT, "1"),
    ]
    assert len(table) == 10
    first, last = table[0], table[-1]
    for name, value in (("mean", 16.1), ("sd_of_games", 1), ("n_games", 2), ("random_mean", 1.5)):
        assert float(first[name]) == pytest.approx(value)
    assert float(first["human_normalized"]) == pytest.approx(0.5)
    assert first["steps"] == "300"
    assert (last["env"], last["human_normalized"]) == ("CartPole-v1", "")


def test_games_have_mean_and_sd_over_the_seeds_and_every_score(output: Path) -> None:
    """CartPole's 100 and 200: SD 100 / sqrt(2) with the divisor n - 1."""
    row = next(row for row in rows(output / "games.csv") if row["env"] == "CartPole-v1")
    assert (row["n_seeds"], row["mean"], row["seeds"]) == ("2", "150.0", "1 2")
    assert row["scores"] == "100.0 200.0"
    assert float(row["sd_of_seeds"]) == pytest.approx(70.7107, abs=1e-4)


def test_aggregates_cover_atari_games_only(output: Path) -> None:
    """DQN: 0, 0.5, 1, 1 in two games; QR-DQN: 1, 1, 1.5, 2."""
    found = {
        (row["algo"], row["statistic"]): float(row["value"])
        for row in rows(output / "aggregates.csv")
    }
    assert found == pytest.approx(
        {
            ("dqn", "interquartile mean"): 0.75,
            ("dqn", "median"): 0.625,
            ("dqn", "mean"): 0.625,
            ("dqn", "optimality gap"): 0.375,
            ("qrdqn", "interquartile mean"): 1.25,
            ("qrdqn", "median"): 1.375,
            ("qrdqn", "mean"): 1.375,
            ("qrdqn", "optimality gap"): 0.0,
        }
    )
    for row in rows(output / "aggregates.csv"):
        assert (row["games"], row["runs"]) == ("2", "4")
        assert float(row["low"]) <= float(row["value"]) <= float(row["high"])


def test_probability_of_improvement_is_given_for_shared_environments(output: Path) -> None:
    """Breakout: one tie among four pairs that DQN loses otherwise; so in Pong."""
    table = rows(output / "probability_of_improvement.csv")
    assert [(row["env"], row["algo"], row["other"]) for row in table] == [
        ("all aggregated games", "dqn", "qrdqn"),
        (BREAKOUT, "dqn", "qrdqn"),
        (PONG, "dqn", "qrdqn"),
    ]
    assert [float(row["value"]) for row in table] == [0.125, 0.125, 0.125]


def test_performance_profile_falls_from_the_lowest_to_the_highest_score(output: Path) -> None:
    table = [row for row in rows(output / "performance_profile.csv") if row["algo"] == "dqn"]
    ends = [(float(row["human_normalized"]), float(row["fraction"])) for row in table]
    assert ends[0] == pytest.approx((0.0, 0.75))
    assert ends[-1] == pytest.approx((2.0, 0.0))


def test_writes_figures(output: Path) -> None:
    curves = [f"learning_curves_{env_id}" for env_id in (BREAKOUT, PONG, "CartPole-v1")]
    for name in ("scores", "aggregates", "performance_profile", *curves):
        assert (output / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_page_shows_scores_and_names_what_is_missing(page: str) -> None:
    text = Tags(page).text
    assert "Two <games>" in text
    assert f"dqn/{PONG}_9: not evaluated" in text
    assert "qrdqn/CartPole-v1_1: not started" in text
    assert f"Aggregated over 2 Atari games:{BREAKOUT}, {PONG}." in text
    assert "CartPole-v1 (not an Atari game)" in text
    assert "seed 1: 100" in text
    assert "random play 1.7, human 30.5" in text
    assert "at least two seeds per game" not in text


def test_page_is_self_contained(page: str) -> None:
    tags = Tags(page)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(tags.tags)
    addresses = [value for name, value in tags.attributes if name in ("src", "href", "poster")]
    assert len(addresses) == 6
    assert all(address.startswith("data:image/svg+xml;base64,") for address in addresses)
    assert re.findall(r"url\((?!#)|@import|https?:", page) == []
    assert "default-src 'none'" in page


def test_escapes_the_content_of_runs(tmp_path: Path) -> None:
    run = scored(tmp_path, "dqn", "CartPole-v1", 1, [1.0], protocol={EVIL: EVIL})
    page = write_suite_report([run], tmp_path / "out", missing=[EVIL], title=EVIL)[-1]
    tags = Tags(page.read_text(encoding="utf-8"))
    assert "script" not in tags.tags
    assert tags.text.count('<script>alert("x")</script>') >= 3


def test_suite_without_atari_games_has_scores_and_the_same_files_again(tmp_path: Path) -> None:
    folders = suite_of(tmp_path, {(algo, "CartPole-v1"): [1, 2] for algo in ("dqn", "ppo")})
    files = write_suite_report(folders, tmp_path / "out")
    assert [path.name for path in files] == [
        "scores.csv",
        "games.csv",
        "probability_of_improvement.csv",
        "scores.png",
        "learning_curves_CartPole-v1.png",
        "report.html",
    ]
    text = Tags(files[-1].read_text(encoding="utf-8")).text
    assert "No aggregates" in text
    assert "CartPole-v1: not an Atari game" in text
    again = write_suite_report(folders, tmp_path / "again")
    assert [path.read_bytes() for path in files] == [path.read_bytes() for path in again]


def test_single_seed_has_no_interval(tmp_path: Path) -> None:
    folders = suite_of(tmp_path, {("dqn", "ALE/Breakout-v5"): [16.1]})
    files = write_suite_report(folders, tmp_path / "out")
    assert files[-2].name == "learning_curves_ALE-Breakout-v5.png"
    found = rows(tmp_path / "out/aggregates.csv")
    assert [float(row["value"]) for row in found] == pytest.approx([0.5] * 4)
    assert {(row["low"], row["high"]) for row in found} == {("", "")}
    assert rows(tmp_path / "out/games.csv")[0]["sd_of_seeds"] == ""
    text = Tags(files[-1].read_text(encoding="utf-8")).text
    assert "at least two seeds per game" in text
    assert "This is one game" in text


def test_games_may_have_different_numbers_of_seeds(tmp_path: Path) -> None:
    """0.5, 1 and 0.75 in Breakout, 0 and 1 in Pong: IQM of 0.5, 0.75, 1 is 0.75."""
    means = {("dqn", BREAKOUT): [16.1, 30.5, 23.3], ("dqn", PONG): [-20.7, 14.6]}
    found = read_suite(suite_of(tmp_path, means)).aggregates["dqn"]
    assert found["interquartile mean"].value == pytest.approx(0.75)
    assert found["mean"].value == pytest.approx(0.625)  # (0.75 + 0.5) / 2
    assert found["mean"].low is not None


def test_aggregates_only_games_that_every_algorithm_has(tmp_path: Path) -> None:
    means = {("dqn", BREAKOUT): [1.7, 1.7], ("dqn", PONG): [0, 0], ("ppo", BREAKOUT): [2, 2]}
    means |= {("dqn", "ALE/Adventure-v5"): [0, 0], ("q_learning", "Taxi-v4"): [7, 7]}
    suite = read_suite(suite_of(tmp_path, means))
    assert suite.aggregated == [BREAKOUT]
    assert suite.not_aggregated == [
        (PONG, "no score of ppo"),
        ("ALE/Adventure-v5", "no reference scores"),
        ("Taxi-v4", "not an Atari game"),
    ]
    assert sorted(suite.aggregates) == ["dqn", "ppo"]
    assert suite.aggregates["dqn"]["mean"] == pytest.approx((0.0, 0.0, 0.0))


def test_page_has_the_improvement_over_all_games_whatever_the_first_pair_shares(
    tmp_path: Path,
) -> None:
    """The first pair, q_learning and dqn, shares an environment but no Atari game."""
    taxi = {("q_learning", "Taxi-v4"): [1.0, 2.0], ("dqn", "Taxi-v4"): [2.0, 3.0]}
    folders = suite_of(tmp_path, {**taxi, **MIXED})
    write_suite_report(folders, tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "averaged over the aggregated games" in page
    assert "all aggregated games" in (tmp_path / "out/probability_of_improvement.csv").read_text()


def test_run_without_a_finished_training_game_has_its_score(tmp_path: Path) -> None:
    folders = suite_of(tmp_path, {("dqn", "CartPole-v1"): [100.0], ("dqn", PONG): [-20.0]})
    write_games(folders[0], [])
    files = write_suite_report(folders, tmp_path / "out")
    assert not any("learning_curves_CartPole" in file.name for file in files)
    assert any("learning_curves_Pong" in file.name for file in files)
    assert rows(tmp_path / "out/scores.csv")[0]["env"] == "CartPole-v1"
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "CartPole-v1: too few games were finished in training" in page


def test_lists_runs_that_do_not_count(tmp_path: Path) -> None:
    good = scored(tmp_path, "dqn", "CartPole-v1", 1, [5.0])
    other = scored(tmp_path, "dqn", "CartPole-v1", 2, [9.0], model="best_model.zip")
    empty = tmp_path / "dqn/CartPole-v1_3"
    empty.mkdir()
    suite = read_suite([good, other, empty], missing=["x"])
    assert [one.values.tolist() for one in suite.scores] == [[5.0]]
    first, second, third = suite.missing
    assert first == "x"
    assert second == "dqn/CartPole-v1_2: only best_model.zip was evaluated"
    assert third.startswith("dqn/CartPole-v1_3: no monitor file")
    with pytest.raises(ValueError, match=r"(?s)no run .*best_model"):
        read_suite([other])


@pytest.mark.parametrize("change", [{"seed": 8}, {"epsilon": 0.0}, {"sticky_actions": 0.25}])
def test_rejects_different_protocols_in_one_environment(
    change: dict[str, Any], tmp_path: Path
) -> None:
    folders = [
        scored(tmp_path, "dqn", BREAKOUT, 1, [1.0]),
        scored(tmp_path, "ppo", BREAKOUT, 1, [1.0], protocol=change),
    ]
    (name,) = change
    with pytest.raises(ValueError, match=rf"dqn.*ppo.*{name} .* and {change[name]}"):
        read_suite(folders)


def test_results_and_observations_are_not_part_of_the_protocol(tmp_path: Path) -> None:
    protocols = [
        ("dqn", BREAKOUT, {"whole_games": False, "screens": "rgb"}),
        ("ppo", BREAKOUT, {"whole_games": True, "screens": "grayscale"}),
        ("ppo", "CartPole-v1", {"epsilon": 0.0}),  # another environment
    ]
    folders = [
        scored(tmp_path, algo, env_id, 1, [1.0], protocol=protocol)
        for algo, env_id, protocol in protocols
    ]
    assert len(read_suite(folders).scores) == 3


def test_rejects_runs_that_are_not_seeds_of_one_experiment(tmp_path: Path) -> None:
    first, second = (
        scored(tmp_path / str(i), "dqn", "CartPole-v1", i, [1.0], config={"gamma": gamma})
        for i, gamma in enumerate((0.9, 0.99))
    )
    with pytest.raises(ValueError, match=r"gamma 0\.9; dqn, gamma 0\.99"):
        read_suite([first, second])
    same = scored(tmp_path / "copy", "dqn", "CartPole-v1", 0, [1.0], config={"gamma": 0.9})
    with pytest.raises(ValueError, match="two runs of dqn on CartPole-v1 have seed 0"):
        read_suite([first, same])


def test_figures_show_runs_means_and_intervals(tmp_path: Path) -> None:
    suite = read_suite(suite_of(tmp_path, MIXED))
    breakout = draw_scores(suite).axes[0]
    points = [line.get_ydata() for line in breakout.get_lines() if line.get_marker() == "o"]
    np.testing.assert_allclose(points, [[16.1, 30.5], [30.5, 44.9]])
    assert breakout.get_title() == BREAKOUT
    iqm = draw_aggregates(suite).axes[0]
    values = [np.asarray(line.get_xdata())[0] for line in iqm.get_lines()]
    assert values == pytest.approx([0.75, 1.25])
    assert [label.get_text() for label in iqm.get_yticklabels()] == ["dqn", "qrdqn"]
    for i, algo in enumerate(suite.algos):
        bar, found = iqm.patches[i].get_bbox(), suite.aggregates[algo]["interquartile mean"]
        assert (bar.x0, bar.x1) == pytest.approx((found.low, found.high))
    profile = draw_profiles(suite).axes[0]
    np.testing.assert_allclose(profile.get_lines()[0].get_ydata(), suite.profiles["dqn"].value)
    assert len(profile.collections) == 2


@pytest.mark.parametrize("random_scores", [[], [3.0, 5.0]])
def test_scores_show_random_play_only_where_it_was_evaluated(
    tmp_path: Path, random_scores: list[float]
) -> None:
    run = scored(tmp_path, "dqn", BREAKOUT, 1, [9.0], random_scores=random_scores)
    figure = draw_scores(read_suite([run]))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    dashed = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == "--"]
    assert labels == (["dqn", "random play"] if random_scores else ["dqn"])
    assert [np.asarray(line.get_ydata())[0] for line in dashed] == ([4.0] if random_scores else [])


def test_rejects_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    suite = read_suite(suite_of(tmp_path, {("dqn", "CartPole-v1"): [1, 2]}))
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file"):
        write_tables(suite, tmp_path / "file")
