"""Entries as a yml that stock RL Zoo reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sb3_atari_course.hyperparams import load_hyperparams
from sb3_atari_course.tuning.yml import write_text, write_yml, yml_block

ENTRIES = [
    (algo, env_id)
    for algo in ("dqn", "qrdqn", "fast_dqn", "dqn_laptop", "q_learning")
    for env_id in load_hyperparams(algo)
]


@pytest.mark.parametrize(("algo", "env_id"), ENTRIES)
def test_every_entry_of_ours_comes_back_as_it_was(algo: str, env_id: str) -> None:
    entry = load_hyperparams(algo)[env_id]
    found = yaml.safe_load(yml_block(env_id, entry, 1234))
    assert found == {env_id: {**entry, "n_timesteps": 1234}}
    assert list(found[env_id]) == list(entry)  # in the same order


def test_how_an_entry_looks() -> None:
    hyperparams = {
        "policy": "sb3_atari_course.policies.AtariCnnPolicy",
        "env_wrapper": [
            {"sb3_atari_course.envs.wrap_atari": {"crop": None, "shape": [84, 84]}},
            "gymnasium.wrappers.ClipReward",
        ],
        "policy_kwargs": {"features_extractor_kwargs": {"layers": [[16, 4, 2], [32, 3, 1]]}},
        "n_timesteps": 7,
        "compile": False,
    }
    assert yml_block("Pong-v4", hyperparams, 100_000) == (
        "Pong-v4:\n"
        "  policy: sb3_atari_course.policies.AtariCnnPolicy\n"
        "  env_wrapper:\n"
        "  - sb3_atari_course.envs.wrap_atari:\n"
        "      crop: null\n"
        "      shape: [84, 84]\n"
        "  - gymnasium.wrappers.ClipReward\n"
        "  policy_kwargs:\n"
        "    features_extractor_kwargs:\n"
        "      layers: [[16, 4, 2], [32, 3, 1]]\n"
        "  n_timesteps: 100000\n"
        "  compile: false\n"
    )
    assert hyperparams["n_timesteps"] == 7


def test_one_list_in_two_places_is_written_twice() -> None:
    widths = [64, 64]
    text = yml_block("a", {"net_arch": widths, "layers": widths, "more": {"x": widths}}, 1)
    assert text.count("[64, 64]") == 3
    assert "&" not in text
    assert "*" not in text


@pytest.mark.parametrize(
    "value",
    [3e-05, 1e-10, 6.25e-05, 0.1 + 0.2, 1e16, 1e20, -0.0005, 0.0, 12, True, None, -1],
)
def test_numbers_stay_numbers(value: Any) -> None:
    read = yaml.safe_load(yml_block("a", {"x": value, "l": [value]}, 1))["a"]
    assert (read["x"], read["l"]) == (value, [value])
    assert type(read["x"]) is type(read["l"][0]) is type(value)


@pytest.mark.parametrize("value", ["lin_1e-05", "visits", "1e-5", "null", "12", "true", "a: b", ""])
def test_words_stay_words(value: str) -> None:
    assert yaml.safe_load(yml_block("a", {"x": value}, 1))["a"]["x"] == value


class TestFiles:
    def test_one_entry_in_a_folder_that_is_made(self, tmp_path: Path) -> None:
        file = tmp_path / "study" / "trials" / "0003.yml"
        write_yml(file, "Taxi-v4", {"policy": "QTablePolicy", "n_timesteps": 160_000}, 5000)
        assert file.read_text() == "Taxi-v4:\n  policy: QTablePolicy\n  n_timesteps: 5000\n"
        assert list(file.parent.iterdir()) == [file]

    def test_a_file_is_replaced_as_a_whole(self, tmp_path: Path) -> None:
        """Whoever has the old one open reads on in it; nothing is left beside the new one."""
        file = tmp_path / "best.yml"
        write_text(file, "old, and longer\n")
        with open(file) as reader:
            write_text(file, "new: ä\n")
            assert reader.read() == "old, and longer\n"
        assert file.read_text(encoding="utf-8") == "new: ä\n"
        assert list(tmp_path.iterdir()) == [file]

    def test_a_half_written_file_is_not_seen(self, tmp_path: Path) -> None:
        file = tmp_path / "best.yml"
        write_text(file, "old\n")
        with pytest.raises(UnicodeEncodeError):
            write_text(file, "new \udcff")  # no UTF-8
        assert file.read_text() == "old\n"
