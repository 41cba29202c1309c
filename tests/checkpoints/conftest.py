"""Trainings of a second, once for all tests of a module."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.checkpoints.small import learn


@pytest.fixture(scope="module")
def peace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a training without faults."""
    folder = tmp_path_factory.mktemp("peace")
    learn(folder)
    return folder


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a training that was cut off."""
    folder = tmp_path_factory.mktemp("cut")
    learn(folder, cut=150)
    return folder


@pytest.fixture
def run(cut: Path, tmp_path: Path) -> Path:
    """Return a copy of the one that was cut off."""
    return Path(shutil.copytree(cut, tmp_path / "run"))
