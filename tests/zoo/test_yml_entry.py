"""Entries of yml files: reading one as plain values, and writing it back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sb3_atari_course.hyperparams import load_hyperparams
from sb3_atari_course.zoo.algorithms import register_algorithms
from sb3_atari_course.zoo.yml_entry import read_entry, yml_block

ENTRIES = [
    (algo, env_id)
    for algo in ("dqn", "qrdqn", "fast_dqn", "dqn_laptop", "q_learning")
    for env_id in load_hyperparams(algo)
]


@pytest.mark.parametrize(("algo", "env_id"), ENTRIES)
def test_yml_block_round_trips_our_entries(algo: str, env_id: str) -> None:
    entry = load_hyperparams(algo)[env_id]
    found = yaml.safe_load(yml_block(env_id, entry, 1234))
    assert found == {env_id: {**entry, "n_timesteps": 1234}}
    assert list(found[env_id]) == list(entry)  # in the same order


@pytest.mark.parametrize(
    "value",
    [3e-05, 1e-10, 6.25e-05, 0.1 + 0.2, 1e16, 1e20, -0.0005, 0.0, 12, True, None, -1],
)
def test_yml_block_round_trips_numbers(value: Any) -> None:
    read = yaml.safe_load(yml_block("a", {"x": value, "l": [value]}, 1))["a"]
    assert (read["x"], read["l"]) == (value, [value])
    assert type(read["x"]) is type(read["l"][0]) is type(value)


@pytest.mark.parametrize("value", ["lin_1e-05", "visits", "1e-5", "null", "12", "true", "a: b", ""])
def test_yml_block_round_trips_strings(value: str) -> None:
    assert yaml.safe_load(yml_block("a", {"x": value}, 1))["a"]["x"] == value


def test_entry_is_that_of_the_file_with_parameters_merged(tmp_path: Path) -> None:
    register_algorithms()
    file = tmp_path / "a.yml"
    file.write_text("Taxi-v4: {n_timesteps: 9, policy: QTablePolicy, gamma: 0.9}")
    read = read_entry("q_learning", "Taxi-v4", file, params={"gamma": 0.8})
    assert read == {"n_timesteps": 9, "policy": "QTablePolicy", "gamma": 0.8}


def test_rejects_values_that_cannot_be_stored(tmp_path: Path) -> None:
    register_algorithms()
    file = tmp_path / "a.py"
    file.write_text(
        "import torch\nhyperparams = {'CartPole-v1': dict(n_timesteps=9, policy='MlpPolicy',"
        " policy_kwargs=dict(activation_fn=torch.nn.ReLU))}"
    )
    with pytest.raises(ValueError, match="plain values"):
        read_entry("dqn", "CartPole-v1", file)
