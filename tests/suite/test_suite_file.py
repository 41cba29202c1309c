"""Suite files: runs, their settings, and what is rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sb3_atari_course._common.errors import SettingError
from sb3_atari_course.suite.suite_file import SuiteSettings, read_suite, suite_of

TAXI = {"algos": ["q_learning"], "envs": ["Taxi-v4"], "seeds": [1]}
CARTPOLE = {"algos": ["dqn"], "envs": ["CartPole-v1"]}


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_runs_are_all_combinations_in_the_order_of_the_file(tmp_path: Path) -> None:
    content = """
    seeds: [3, 1]
    n_timesteps: 500
    runs:
      - {algos: [dqn, qrdqn], envs: [CartPole-v1, Acrobot-v1]}
      - {algos: [q_learning], envs: [Taxi-v4], n_timesteps: 70, seeds: [2]}
    """
    suite = read_suite(write(tmp_path / "suite.yml", content))
    assert [(*run.key, run.n_timesteps) for run in suite.runs] == [
        ("dqn", "CartPole-v1", 3, 500),
        ("dqn", "CartPole-v1", 1, 500),
        ("dqn", "Acrobot-v1", 3, 500),
        ("dqn", "Acrobot-v1", 1, 500),
        ("qrdqn", "CartPole-v1", 3, 500),
        ("qrdqn", "CartPole-v1", 1, 500),
        ("qrdqn", "Acrobot-v1", 3, 500),
        ("qrdqn", "Acrobot-v1", 1, 500),
        ("q_learning", "Taxi-v4", 2, 70),
    ]


def test_number_of_steps_is_that_of_the_hyperparameters_by_default() -> None:
    (run,) = suite_of({**TAXI}).runs
    assert run.n_timesteps == 160_000
    assert "n_timesteps" not in run.hyperparams


def test_repeated_seed_is_one_run() -> None:
    assert len(suite_of({**TAXI, "seeds": [2, 2]}).runs) == 1


def test_params_and_env_kwargs_override_the_file_of_hyperparameters(tmp_path: Path) -> None:
    write(tmp_path / "mine.yml", "CartPole-v1: {policy: MlpPolicy, gamma: 0.9, batch_size: 8}\n")
    content = """
    algos: [dqn]
    envs: [CartPole-v1]
    seeds: [1]
    n_timesteps: 10
    conf_file: mine.yml
    params: {gamma: 0.5, policy_kwargs: {net_arch: [8]}}
    env_kwargs: {sutton_barto_reward: true}
    """
    (run,) = read_suite(write(tmp_path / "suite.yml", content)).runs
    assert run.hyperparams == {
        "policy": "MlpPolicy",
        "gamma": 0.5,
        "batch_size": 8,
        "policy_kwargs": {"net_arch": [8]},
        "env_kwargs": {"sutton_barto_reward": True},
    }


def test_seeds_share_no_mutable_settings_with_the_file() -> None:
    params = {"policy_kwargs": {"net_arch": [8]}}
    suite = suite_of({**CARTPOLE, "seeds": [1], "params": params})
    params["policy_kwargs"]["net_arch"] = [9]
    assert suite.runs[0].hyperparams["policy_kwargs"] == {"net_arch": [8]}


def test_settings_equal_those_read_from_their_json_values() -> None:
    evaluation = {"n_games": 5, "seed": 7, "epsilon": 0.1}
    suite = suite_of({**TAXI, "evaluation": evaluation, "gym_packages": ["gymnasium"]})
    assert SuiteSettings.from_dict(suite.as_dict()) == suite
    assert suite.gym_packages == ("gymnasium",)


@pytest.mark.parametrize(
    ("env_id", "epsilon", "expected"),
    [
        ("CartPole-v1", None, 0.0),
        ("BreakoutNoFrameskip-v4", None, 0.05),
        ("BreakoutNoFrameskip-v4", 0, 0),
        ("CartPole-v1", 1, 1),
    ],
)
def test_protocol_has_the_epsilon_of_the_environment(
    env_id: str, epsilon: float | None, expected: float
) -> None:
    evaluation = {} if epsilon is None else {"epsilon": epsilon}
    protocol = suite_of({**TAXI, "evaluation": evaluation}).evaluation.protocol(env_id)
    assert protocol == {"n_games": 30, "seed": 1000, "epsilon": expected}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({**TAXI, "seed": [1]}, "unknown key 'seed', did you mean 'seeds'"),
        ({**TAXI, "runs": [{"alggo": ["dqn"]}]}, "runs, entry 1: unknown key 'alggo'"),
        ({**TAXI, "evaluation": {"games": 3}}, "evaluation: unknown key 'games'"),
        ({**TAXI, "evaluation": [3]}, r"evaluation: must be .*\[3\]"),
        ({**TAXI, "evaluation": {"n_games": 0}}, "n_games: must be at least 1, got 0"),
        ({**TAXI, "evaluation": {"seed": -1}}, "seed: must be at least 0, got -1"),
        ({**TAXI, "evaluation": {"epsilon": 2}}, "epsilon: must be from 0 to 1, got 2"),
        ({**TAXI, "evaluation": {"n_games": True}}, "n_games: must be of type int, got True"),
        ({**TAXI, "algos": "q_learning"}, "algos: must be of type list, got 'q_learning'"),
        ({**TAXI, "algos": [None]}, "algos: must be a list of names, got None"),
        ({**TAXI, "algos": ["ppo"]}, "unknown algorithm 'ppo'"),
        ({**TAXI, "algos": ["dqm"]}, "unknown algorithm 'dqm', did you mean 'dqn'"),
        ({**TAXI, "envs": ["Taxi-v44"]}, "unknown environment 'Taxi-v44'"),
        ({**TAXI, "seeds": []}, "seeds: missing"),
        ({"algos": ["dqn"], "envs": ["CartPole-v1"]}, "seeds: missing"),
        ({"seeds": [1]}, "algos: missing"),
        ({**TAXI, "seeds": [0]}, "seeds: must be integers from 1 .*, got 0"),
        ({**TAXI, "seeds": [True]}, "got True"),
        ({**TAXI, "seeds": ["1"]}, "got '1'"),
        ({**TAXI, "seeds": [2**32]}, "got 4294967296"),
        ({**TAXI, "n_timesteps": 0}, "n_timesteps: must be at least 1, got 0"),
        ({**TAXI, "n_timesteps": 1e3}, "n_timesteps: must be of type int, got 1000.0"),
        ({**TAXI, "vec_env": "threads"}, "vec_env: must be one of .*, got 'threads'"),
        ({**TAXI, "params": {"gama": 0.9}}, "gama"),
        ({**TAXI, "params": {"gamma": 2}}, "gamma:2 must be between 0 and 1"),
        ({**TAXI, "env_kwargs": {"gravity": 3}}, "gravity"),
        ({**TAXI, "conf_file": "nowhere.yml"}, "nowhere.yml"),
        ({**TAXI, "gym_packages": ["nowhere"]}, "nowhere"),
        ({**TAXI, "runs": []}, "runs: is empty"),
        ({**TAXI, "runs": [3]}, "entry 1: must be a mapping .*, got 3"),
        ({**TAXI, "runs": [{}, {"seeds": [2]}]}, "entry 2: q_learning on Taxi-v4 is listed twice"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_rejects(content: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        suite_of(content)


@pytest.mark.parametrize(
    "text",
    ["", "- a\n- b\n", "text", "a: [1\n", "\talgos: [dqn]\n", "a: &x [*x]\n", "\x00"],
    ids=["empty", "list", "string", "unbalanced", "tab", "cycle", "binary"],
)
def test_file_that_is_not_a_mapping_is_rejected_with_its_path(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "suite.yml", text)
    with pytest.raises(SettingError, match=r"suite\.yml"):
        read_suite(path)


def test_missing_file_is_rejected_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"nowhere\.yml cannot be read: No such file"):
        read_suite(tmp_path / "nowhere.yml")
