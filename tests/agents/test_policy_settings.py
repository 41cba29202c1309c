"""What a file may plainly say of a policy."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from sb3_atari_course.agents.policy_settings import read_policy_kwargs


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
        {"net_arch": [1] * 400},
        {"n_critics": 65},
        {"n_lstm_layers": 65},
        {"features_extractor_class": "torch.nn.Tanh"},
        {"activation_fn": "os.system"},
        {"dueling": "yes"},
    ],
    ids=str,
)
def test_unknown_classes_and_long_settings_are_refused(kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"policy_kwargs"):
        read_policy_kwargs(kwargs)


def test_numbers_within_bounds_are_kept() -> None:
    kwargs = {"net_arch": [2**20], "n_critics": 64, "log_std_init": -3.5, "dueling": True}
    assert read_policy_kwargs(kwargs) == kwargs
