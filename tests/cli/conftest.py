"""Fixture: each command is tested in an empty working folder."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from sb3_atari_course._common.progress import Progress


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SB3_ATARI_TRACEBACK", raising=False)
    gc.freeze()  # objects that exist already, so that a collection takes milliseconds
    yield
    gc.collect()  # RL Zoo leaves monitor files open, and the warning about them is ignored here
    gc.unfreeze()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the descriptions of what shows its progress."""
    descriptions: list[str] = []
    enter = Progress.__enter__

    def spy(progress: Progress) -> Progress:
        descriptions.append(progress.description)
        return enter(progress)

    monkeypatch.setattr(Progress, "__enter__", spy)
    return descriptions
