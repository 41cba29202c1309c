"""Which runs are seeds of one training."""

from __future__ import annotations

from pathlib import Path

import pytest

from sb3_atari_course.report.curves import group_runs
from sb3_atari_course.report.run_data import read_run
from tests.report.run_folders import make_run, write_games


def test_algorithm_and_environment_make_a_group(tmp_path: Path) -> None:
    runs = [
        read_run(make_run(tmp_path / str(i), algo=algo, env_id=env_id, seed=i))
        for i, (algo, env_id) in enumerate(
            [("dqn", "A-v1"), ("qrdqn", "A-v1"), ("dqn", "A-v1"), ("dqn", "B-v1")]
        )
    ]
    groups = group_runs(runs)
    assert [(group.name, group.count) for group in groups] == [
        ("dqn", "2 seeds"),
        ("qrdqn", "1 seed"),
        ("dqn", "1 seed"),
    ]
    assert groups[0].runs == (runs[0], runs[2])


def test_other_settings_are_another_group_named_by_them(tmp_path: Path) -> None:
    configs = [{"gamma": 0.9, "tau": 1}, {"gamma": 0.99, "tau": 1}, {"tau": 1, "gamma": 0.9}]
    runs = [read_run(make_run(tmp_path / str(i), config=c)) for i, c in enumerate(configs)]
    names = [group.name for group in group_runs(runs)]
    assert names == ["dqn, gamma 0.9", "dqn, gamma 0.99"]


def test_a_setting_that_is_not_there_is_the_default(tmp_path: Path) -> None:
    runs = [read_run(make_run(tmp_path / "0", config={"a": 1}))]
    runs += [read_run(make_run(tmp_path / "1", config={"a": 1, "b": "x" * 60}))]
    names = [group.name for group in group_runs(runs)]
    assert names == ["dqn, b default", f"dqn, b {'x' * 35}..."]


def test_deep_in_a_yml_only_what_differs_is_said(tmp_path: Path) -> None:
    wraps = [
        [{"sb3_atari_course.envs.wrap_atari": {"n_stack": 4, "crop": crop}}, "other.Wrapper"]
        for crop in ([30, 195, 5, 155], None)
    ]
    configs = [{"env_wrapper": wrappers, "gamma": 0.9} for wrappers in wraps]
    runs = [read_run(make_run(tmp_path / str(i), config=c)) for i, c in enumerate(configs)]
    names = [group.name for group in group_runs(runs)]
    assert names == ["dqn, crop [30, 195, 5, 155]", "dqn, crop None"]


def test_the_length_of_a_training_makes_no_group(tmp_path: Path) -> None:
    configs = [{"gamma": 0.9, "n_timesteps": n} for n in (100, 200)]
    runs = [read_run(make_run(tmp_path / str(n), config=c)) for n, c in enumerate(configs)]
    assert len(group_runs(runs)) == 1


def test_a_training_that_began_with_anothers_model_is_no_seed_of_it(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / str(n), seed=n) for n in range(3)]
    arguments = folders[2] / "CartPole-v1/args.yml"
    arguments.write_text("algo: dqn\nenv: CartPole-v1\nseed: 2\ntrained_agent: a.zip\n")
    groups = group_runs([read_run(folder) for folder in folders])
    assert [(group.name, group.count) for group in groups] == [
        ("dqn, trained_agent default", "2 seeds"),
        ("dqn, trained_agent a.zip", "1 seed"),
    ]


def test_equal_seeds_are_not_called_seeds(tmp_path: Path) -> None:
    runs = [read_run(make_run(tmp_path / str(i), seed=1)) for i in range(2)]
    assert group_runs(runs)[0].count == "2 runs"


def test_a_run_of_which_nobody_knows_the_algorithm_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no args.yml that tells algo and env: it can be plotted"):
        group_runs([read_run(write_games(tmp_path, [1]))])
