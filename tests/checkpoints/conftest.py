"""Short trainings, shared by the tests of a module."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.checkpoints.cartpole_trainings import learn


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run folder of a training without interruptions."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    learn(folder)
    return folder


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run folder of an interrupted training."""
    folder = tmp_path_factory.mktemp("interrupted")
    learn(folder, interrupt_at=150)
    return folder


@pytest.fixture
def run(interrupted: Path, tmp_path: Path) -> Path:
    """Return a copy of the interrupted run."""
    return Path(shutil.copytree(interrupted, tmp_path / "run"))
