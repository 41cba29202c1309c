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
from sb3_atari_course._common.progress import Progress, announce

#: Seconds of ordinary use.
TIMES = progress.DELAY, progress.REFRESH, progress.INTERVAL


class Stream(io.StringIO):
    """Stands in for stderr."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal
        self.n_flushes = 0

    def flush(self) -> None:
        self.n_flushes += 1

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
            line = part + line[len(part) :]
        return line.rstrip()


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("DELAY", "REFRESH", "INTERVAL"):
        monkeypatch.setattr(progress, name, 0.01)
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def stderr(monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool) -> Stream:
    stream = Stream(is_terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_shows_a_bar_within_2_seconds_and_a_line_every_30() -> None:
    assert TIMES == (2.0, 0.5, 30.0)


def test_shows_a_bar_on_a_terminal_and_erases_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stderr(monkeypatch, is_terminal=True)
    with Progress("Evaluating", total=30, unit="games") as shown:
        shown.update()
        stream.wait_for("Evaluating: 1 of 30 games |")
        shown.update(11)
        stream.wait_for("Evaluating: 12 of 30 games |")
        assert stream.screen().startswith("Evaluating: ")
        assert stream.n_flushes > 0
    assert stream.screen() == ""
    assert "\n" not in stream.getvalue()


def test_elapsed_time_includes_the_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "DELAY", 1.1)
    stream = stderr(monkeypatch, is_terminal=True)
    with Progress("Evaluating", total=30, unit="games"):
        stream.wait_for("00:01<")
    assert "00:00<" not in stream.getvalue()


@pytest.mark.parametrize("total", [None, 30])
def test_bar_and_ctrl_c_fit_into_one_line(
    total: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_columns", lambda stream: 40)
    stream = stderr(monkeypatch, is_terminal=True)
    with Progress("Writing best.yml, trials.csv and plots", total=total, unit="files"):
        stream.wait_for("Writing")
    assert all(len(part.rstrip()) <= 40 - len("^C") - 1 for part in stream.getvalue().split("\r"))


def test_two_bars_at_once_leave_a_clean_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stderr(monkeypatch, is_terminal=True)
    with Progress("Restoring"), Progress("Evaluating", total=30, unit="games"):
        stream.wait_for("Restoring")
        stream.wait_for("0 of 30")
    assert stream.screen() == ""


def test_ignores_the_switch_of_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")
    stream = stderr(monkeypatch, is_terminal=True)
    with Progress("Evaluating", total=30, unit="games"):
        stream.wait_for("0 of 30")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_error_leaves_a_clean_line(
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


def test_shows_elapsed_time_without_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert re.fullmatch(r"Evaluating: 12 of 30 games, \d s", lines[-2])
    assert re.fullmatch(r"Checking q_update: \d s", lines[-1])


@pytest.mark.parametrize("is_terminal", [True, False])
def test_short_work_shows_no_bar(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
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


class BrokenStream(Stream):
    def write(self, text: str) -> int:
        raise BrokenPipeError


class PlainStream:
    """A stream of a GUI: it can write, and nothing else."""

    text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def test_broken_stderr_does_not_stop_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Stream(is_terminal=False)
    closed.close()
    errors: list[object] = []
    monkeypatch.setattr(threading, "excepthook", errors.append)
    for stream in (None, closed, BrokenStream(is_terminal=False), BrokenStream(is_terminal=True)):
        monkeypatch.setattr(sys, "stderr", stream)
        announce("Evaluating 30 games")
        with Progress("Evaluating"):
            time.sleep(0.05)
    assert errors == []


def test_missing_stderr_leaves_stdout_empty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    announce("Evaluating 30 games")
    assert capsys.readouterr().out == ""


def test_stream_without_isatty_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = PlainStream()
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress("Evaluating"):
        time.sleep(0.05)
    assert re.match(r"Evaluating: 0 s\n", stream.text)


def test_ctrl_c_while_the_thread_starts_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr(monkeypatch, is_terminal=False)
    shown = Progress("Evaluating")
    start = shown._thread.start

    def interrupted() -> None:
        start()
        raise KeyboardInterrupt

    monkeypatch.setattr(shown._thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), shown:
        pass
    shown._thread.join(10)
    assert not shown._thread.is_alive()
    assert shown._thread.daemon
