"""Signals set a flag while a training runs, and do what they did before when it does not."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from sb3_atari_course.checkpoints.signals import StopSignals

BOTH = (signal.SIGINT, signal.SIGTERM)


class Before:
    """What a program does at a signal before a training begins: it notes it."""

    def __init__(self) -> None:
        self.got: list[int] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.got.append(number)


@pytest.fixture
def before() -> Iterator[Before]:
    handler, old = Before(), [signal.getsignal(number) for number in BOTH]
    for number in BOTH:
        signal.signal(number, handler)
    yield handler
    for number, one in zip(BOTH, old, strict=True):
        signal.signal(number, one)


def running(is_running: bool = True) -> StopSignals:
    signals = StopSignals(lambda frame: is_running)
    signals.listen()
    return signals


@pytest.mark.parametrize("number", BOTH)
def test_the_first_sets_a_flag_and_the_second_is_as_before(
    number: int, before: Before, capfd: pytest.CaptureFixture[str]
) -> None:
    signals = running()
    signal.raise_signal(number)
    assert signals.received == number
    assert before.got == []
    name = signal.Signals(number).name
    assert capfd.readouterr().err == (
        f"\n{name}: stopping after this rollout, with a checkpoint (once more: at once)\n"
    )
    signal.raise_signal(number)
    assert before.got == [number]
    assert signal.getsignal(number) is before


def test_another_signal_is_a_second_one_too(before: Before) -> None:
    signals = running()
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)
    assert signals.received == signal.SIGINT
    assert before.got == [signal.SIGTERM]


def test_handlers_are_given_back(before: Before) -> None:
    signals = running()
    assert signal.getsignal(signal.SIGINT) is not before
    signals.let_go()
    signals.let_go()
    assert [signal.getsignal(number) for number in BOTH] == [before, before]


def test_after_an_error_signals_do_what_they_did_before(before: Before) -> None:
    signals = running(False)  # it has ended without a word
    signal.raise_signal(signal.SIGTERM)
    assert before.got == [signal.SIGTERM]
    assert signals.received is None
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_handler_that_came_later_stays_and_may_give_back_to_a_dead_one(before: Before) -> None:
    first, second = running(), running()
    first.let_go()  # does not take what the second has
    assert signal.getsignal(signal.SIGINT) == second._receive
    second.let_go()  # gives it back to the first, which has ended
    signal.raise_signal(signal.SIGINT)
    assert first.received == signal.SIGINT or before.got == [signal.SIGINT]
    signal.raise_signal(signal.SIGINT)
    assert before.got[-1] == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is before


def test_a_training_after_one_that_died_listens_again(before: Before) -> None:
    signals = running()
    signal.signal(signal.SIGINT, before)  # as a notebook does after each cell
    signals.listen()
    signal.raise_signal(signal.SIGINT)
    assert signals.received == signal.SIGINT
    signals.let_go()
    assert signal.getsignal(signal.SIGINT) is before


def test_ignored_signals_stay_ignored(before: Before) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as nohup does
    signals = running()
    signal.raise_signal(signal.SIGINT)
    assert signals.received is None
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_threads_take_no_signals(before: Before) -> None:
    made: list[Any] = []
    thread = threading.Thread(target=lambda: made.append(running()))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before
    made[0].let_go()
    signals = running()
    thread = threading.Thread(target=signals.let_go)  # cannot give back, and does not break
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) == signals._receive
    signals.let_go()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_terminal_that_is_gone_stops_nothing(before: Before) -> None:
    signals, stderr = running(), os.dup(2)
    os.close(2)
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    assert signals.received == signal.SIGTERM
