"""What all tests share."""

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
    # a shell that runs the tests in the background lets them ignore Ctrl-C, and their children too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    register_envs()
    th.set_num_threads(1)  # small networks; and the tests share the cores


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Take the signals from trainings that a test has let die."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
