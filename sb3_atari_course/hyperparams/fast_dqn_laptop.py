"""``-conf sb3_atari_course.hyperparams.fast_dqn_laptop``: RL Zoo reads ``hyperparams``."""

from typing import Any

from sb3_atari_course.hyperparams import load_hyperparams


def __getattr__(name: str) -> Any:
    if name == "hyperparams":
        return load_hyperparams("fast_dqn_laptop")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
