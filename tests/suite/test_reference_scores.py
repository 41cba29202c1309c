"""Reference scores of Atari games, compared with those in RL Zoo's source."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import ale_py.roms
import pytest
from ale_py.registration import rom_id_to_name

from sb3_atari_course.suite.reference_scores import REFERENCE_SCORES, game_of, reference_of


def scores_in_rl_zoo(name: str) -> dict[str, float]:
    """Return game -> score of a table that is a comment in RL Zoo's source."""
    package = find_spec("rl_zoo3")
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).parent / "plots/score_normalization.py"
    found = re.search(rf"# {name} = {{\n(.*?)# }}", path.read_text(encoding="utf-8"), flags=re.S)
    assert found is not None
    return {game: float(score) for game, score in re.findall(r"'(\w+)': ([-\d.]+)", found[1])}


def test_scores_of_26_games_are_those_of_rl_zoo() -> None:
    random, human = scores_in_rl_zoo("RANDOM_SCORES"), scores_in_rl_zoo("HUMAN_SCORES")
    assert len(random) == len(human) == 26
    for game in random:
        reference = reference_of(f"ALE/{game}-v5")
        assert reference == (random[game], human[game]), game


def test_the_57_games_exist_and_the_human_is_better_than_random_play() -> None:
    assert len(REFERENCE_SCORES) == 57
    assert set(REFERENCE_SCORES) <= set(ale_py.roms.get_all_rom_ids())
    assert all(one.human > one.random for one in REFERENCE_SCORES.values())
    assert all(reference_of(f"ALE/{rom_id_to_name(rom)}-v5") for rom in REFERENCE_SCORES)


@pytest.mark.parametrize(
    "env_id", ["BreakoutNoFrameskip-v4", "ALE/Breakout-v5", "BreakoutDeterministic-v4"]
)
def test_finds_a_game_by_each_of_its_ids(env_id: str) -> None:
    assert (game_of(env_id), reference_of(env_id)) == ("Breakout", (1.7, 30.5))


@pytest.mark.parametrize(
    ("env_id", "game"),
    [("ALE/Adventure-v5", "Adventure"), ("CartPole-v1", None), ("NotRegistered-v3", None)],
)
def test_other_environments_have_no_reference(env_id: str, game: str | None) -> None:
    assert (game_of(env_id), reference_of(env_id)) == (game, None)


def test_random_play_is_0_and_the_human_is_1() -> None:
    """Skiing has negative scores; Breakout's middle is (1.7 + 30.5) / 2."""
    for rom, score, expected in (
        ("skiing", -17098.1, 0.0),
        ("skiing", -4336.9, 1.0),
        ("breakout", 16.1, 0.5),
    ):
        assert REFERENCE_SCORES[rom].normalize(score) == pytest.approx(expected)
