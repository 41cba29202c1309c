"""What the command makes of a space: a table for people, no training that is over too soon."""

from __future__ import annotations

from typing import Any

import pytest

from sb3_atari_course.tuning.space import describe_space, without_late_starts

TABLE = {"policy": "QTablePolicy", "learning_rate": "lin_0.5", "exploration": 0.1}


def test_the_table_of_what_can_be_tuned() -> None:
    lines = describe_space("q_learning", {"gamma": [0.9, 1]}, TABLE).split("\n")
    assert lines[0] == "parameter               in the yml  tried     meaning"
    assert "gamma                               [0.9, 1]  discount per agent step" in lines
    assert "learning_rate           0.5                   where it begins" in lines
    assert "initial_value           0.0                   of the cells of the table" in lines
    assert not any(line.startswith(("n_bins", "repeat", "decay")) for line in lines)
    assert len(lines) == 7


def test_what_is_tried_is_listed_even_if_the_yml_has_no_place_for_it() -> None:
    table = describe_space("q_learning", {"n_bins": [[2, 2], [3, 3]]}, TABLE)
    assert "n_bins                              [[2, 2], [3, 3]]  bins of each dimension" in table


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ([500, 1000, 5000], [500]),
        ([0, 999], [0, 999]),
        ({"low": 10, "high": 5000, "log": True}, {"low": 10, "high": 999, "log": True}),
        ({"low": 10, "high": 50}, {"low": 10, "high": 50}),
        (999, 999),
    ],
)
def test_learning_starts_before_the_end(given: Any, left: Any) -> None:
    content = {"learning_starts": given, "gamma": [0.9, 0.99]}
    assert without_late_starts(content, {}, 1000) == {**content, "learning_starts": left}
    assert content["learning_starts"] == given


def test_a_space_without_it_stays_without_it() -> None:
    assert without_late_starts({"gamma": 0.9}, {"learning_starts": 999}, 1000) == {"gamma": 0.9}
    assert without_late_starts({"gamma": 0.9}, TABLE, 1000) == {"gamma": 0.9}


@pytest.mark.parametrize("given", [[1000, 5000], 1000, {"low": 1000, "high": 2000}])
def test_nothing_to_learn_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"of 1000 steps, nothing would be learned: add --param l"):
        without_late_starts({"learning_starts": given}, {}, 1000)
    with pytest.raises(ValueError, match="learning_starts=100, or train for longer"):
        without_late_starts({}, {"learning_starts": 50000}, 1000)
