"""What all tests share."""

from __future__ import annotations

import os

import pytest
import torch as th

from sb3_atari_course import register_envs

os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True, scope="session")
def _known_envs() -> None:
    register_envs()
    th.set_num_threads(1)  # small networks; and the tests share the cores
