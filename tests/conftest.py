"""Fixtures of all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
import torch as th

from sb3_atari_course import register_envs

os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True, scope="session")
def _known_envs() -> None:
    # a shell that starts the tests in the background makes them and their children ignore SIGINT
    signal.signal(signal.SIGINT, signal.default_int_handler)
    register_envs()
    th.set_num_threads(1)  # the networks are small, and tests run in parallel


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Restore signal handlers that a test has left, for example by killing a training run."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
