"""What a file may plainly say of a policy."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from sb3_atari_course.agents.policy_settings import UnknownSettingError, read_policy_kwargs


def test_readable_classes_become_classes_and_optimisers_are_left_out() -> None:
    kwargs = read_policy_kwargs(
        {
            ":type:": "<class 'dict'>",
            ":serialized:": "gASV",
            "activation_fn": "<class 'torch.nn.modules.activation.ELU'>",
            "net_arch": {"pi": [8], "vf": [4]},
            "optimizer_class": "<class 'mine.Optimiser'>",
            "optimizer_kwargs": {"eps": 1},
        }
    )
    assert kwargs == {"activation_fn": nn.ELU, "net_arch": {"pi": [8], "vf": [4]}}


@pytest.mark.parametrize(
    "kwargs",
    [
        {"net_arch": [2**20 + 1]},
        {"net_arch": [1] * 65},
        {"net_arch": [[[[[[1]]]]]]},
        {"n_critics": 65},
        {"lstm_kwargs": {"n_lstm_layers": 65}},
        {"log_std_init": float("nan")},
        {"features_extractor_kwargs": {"weight_init": "x" * 101}},
        {"features_extractor_class": "torch.nn.Tanh"},
        {"dueling": "yes"},
    ],
    ids=str,
)
def test_numbers_beyond_all_bounds_are_refused(kwargs: dict[str, Any]) -> None:
    with pytest.raises(UnknownSettingError, match=r"policy_kwargs has"):
        read_policy_kwargs(kwargs)


def test_numbers_within_bounds_are_kept() -> None:
    kwargs = {"net_arch": [2**20], "n_critics": 64, "log_std_init": -3.5, "dueling": True}
    assert read_policy_kwargs(kwargs) == kwargs
