"""The native vector environment against the Python wrappers, and what SB3 makes of it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from sb3_atari_course.native_vec_env import NativeAtariVecEnv
from tests.native_vec_env.twins import FIELD, GAMES, assert_equal_steps, play_both, python_side

BREAKOUT = "BreakoutNoFrameskip-v4"
#: Neither no-ops nor FIRE: nothing is random, and both sides begin alike.
BARE: dict[str, Any] = {"noop_max": 0, "fire": False}


class TestAgainstTheWrappers:
    @pytest.mark.parametrize("game", GAMES)
    @pytest.mark.parametrize(
        ("crop", "padding"), [(FIELD, "repeat"), (None, "zero")], ids=["crop", "zero padding"]
    )
    def test_whole_games_are_the_same(
        self, game: str, crop: Any, padding: Literal["repeat", "zero"]
    ) -> None:
        native = NativeAtariVecEnv(f"{game}NoFrameskip-v4", 2, crop=crop, padding=padding, **BARE)
        python = python_side(game, 2, crop=crop, padding=padding)
        np.testing.assert_array_equal(native.reset(), python.reset())
        assert native.reset_infos == [
            {key: info[key] for key in ("lives", "frame_number", "episode_frame_number")}
            for info in python.unwrapped.reset_infos
        ]
        n_over = n_lives = 0
        for pair in play_both(native, python, 1000 if game == "Pong" else 700):
            n_over += int(assert_equal_steps(pair).sum())
            n_lives += int(pair.native[2].sum())
        assert n_over >= 1
        assert (n_lives > n_over) == (game != "Pong")  # which has no lives
        native.close()
