"""Progress: a bar on a terminal, lines elsewhere, nothing left behind."""

from __future__ import annotations

import io
import re
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from sb3_atari_course._common import progress
from sb3_atari_course._common.progress import Progress


class Stream(io.StringIO):
    """Stands in for stderr."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal

    def wait_for(self, text: str) -> None:
        """Wait until a text has been written."""
        until = time.monotonic() + 30
        while text not in self.getvalue():
            assert time.monotonic() < until, self.getvalue()
            time.sleep(0.005)

    def screen(self) -> str:
        """Return the last line as a terminal shows it."""
        line = ""
        for part in self.getvalue().removesuffix("\n").split("\n")[-1].split("\r"):
            if part.startswith("\x1b[K"):  # erase the line from here
                part, line = part.removeprefix("\x1b[K"), ""
            line = part + line[len(part) :]
        return line.rstrip()


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("DELAY", "REFRESH", "INTERVAL"):
        monkeypatch.setattr(progress, name, 0.01)
    n_threads = threading.active_count()
    yield
    assert threading.active_count() == n_threads


def stderr(monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool) -> Stream:
    stream = Stream(is_terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_shows_a_bar_on_a_terminal_and_erases_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stderr(monkeypatch, is_terminal=True)
    with Progress("Evaluating", total=30, unit="games") as shown:
        shown.update()
        shown.update(11)
        stream.wait_for("Evaluating: 12 of 30 games |")
        assert stream.screen().startswith("Evaluating: ")
    assert stream.screen() == ""
    assert "\n" not in stream.getvalue()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_leaves_a_clean_line(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = stderr(monkeypatch, is_terminal=True)

    def work() -> None:
        with Progress("Evaluating", total=30, unit="games"):
            stream.wait_for("0 of 30")
            stream.write("^C")
            raise error

    with pytest.raises(error):
        work()
    print("interrupted", file=stream)
    assert stream.screen() == "interrupted"


def test_erases_the_bar_at_the_last_item(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stderr(monkeypatch, is_terminal=True)
    with Progress("Recording", total=2, unit="steps") as shown:
        stream.wait_for("0 of 2")
        shown.update(2)
        assert stream.screen() == ""
        end = stream.getvalue()
        time.sleep(0.05)
        assert stream.getvalue() == end


def test_shows_the_time_where_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stderr(monkeypatch, is_terminal=True)
    with Progress("Writing the report"):
        stream.wait_for("Writing the report: 00:00")


def test_prints_lines_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stderr(monkeypatch, is_terminal=False)
    with Progress("Evaluating", total=30, unit="games") as shown:
        shown.update(12)
        stream.wait_for("12 of 30")
    with Progress("Checking q_update"):
        stream.wait_for("q_update")
    lines = stream.getvalue().splitlines()
    assert "\r" not in stream.getvalue()
    assert re.fullmatch(r"Evaluating: 12 of 30 games, \d+ s", lines[-2])
    assert re.fullmatch(r"Checking q_update: \d+ s", lines[-1])


@pytest.mark.parametrize("is_terminal", [True, False])
def test_short_work_shows_nothing(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "DELAY", 60.0)
    monkeypatch.setattr(progress, "INTERVAL", 60.0)
    stream = stderr(monkeypatch, is_terminal=is_terminal)
    with Progress("Evaluating", total=1, unit="games") as shown:
        shown.update()
    assert stream.getvalue() == ""


def test_can_be_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stderr(monkeypatch, is_terminal=True)
    with Progress("Evaluating", total=9, unit="games", disable=True):
        time.sleep(0.05)
    assert stream.getvalue() == ""


def test_a_closed_stream_does_not_disturb_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for is_terminal in (True, False):
        stream = stderr(monkeypatch, is_terminal=is_terminal)
        with Progress("Evaluating"):
            stream.close()
            time.sleep(0.05)
