"""The comparison of pictures sees what differs."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks import native_pixels


def test_breakout_is_the_same_in_colour_and_ms_pacman_in_grey_only() -> None:
    assert native_pixels.compare("Breakout", "rgb", 60) == (1.0, 0)
    assert native_pixels.compare("MsPacman", "grayscale", 60) == (1.0, 0)
    share, largest = native_pixels.compare("MsPacman", "rgb", 60)
    assert 0 < share < 1
    assert largest > 10


def test_the_last_line_is_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["native_pixels.py", "--quick"])
    monkeypatch.setattr(native_pixels, "GAMES", ("Pong",))
    monkeypatch.setattr(
        native_pixels, "compare", lambda game, kind, _: {"rgb": (0.5, 7)}.get(kind, (1.0, 0))
    )
    native_pixels.main()
    *table, last = capsys.readouterr().out.splitlines()
    assert json.loads(last) == {"equal_to_rgb": {"Pong": 0.5}, "equal_to_grayscale": {"Pong": 1.0}}
    assert "50.0% (  7)   100.0% (  0)" in table[1]
