"""The line that tells how a study is getting on."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState

from sb3_atari_course.tuning import progress
from sb3_atari_course.tuning.progress import Progress, duration, progress_line, seconds_left
from sb3_atari_course.tuning.study import Standing

START = Standing(
    budget=40,
    complete=0,
    pruned=0,
    running=0,
    waiting=0,
    errors=(),
    n_died=0,
    best=None,
    mean_seconds=None,
)
MIDDLE = replace(START, complete=9, pruned=3, running=2, mean_seconds=60.0)
DONE = replace(START, complete=40, mean_seconds=60.0)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestLine:
    def test_of_a_study_that_begins(self) -> None:
        assert progress_line(START, 2) == "finished 0 of 40, running 0, pruned 0, failed 0"

    def test_of_a_study_in_the_middle(self) -> None:
        best = optuna.trial.create_trial(state=TrialState.COMPLETE, value=487.31)
        best.number = 7
        standing = replace(MIDDLE, errors=((1, "a"), (4, "b")), n_died=1, best=best)
        assert progress_line(standing, 2) == (
            "finished 12 of 40, running 2, pruned 3, failed 2, killed 1, best 487.3 (trial 7),"
            " about 14 min left"
        )

    def test_of_a_study_that_is_done(self) -> None:
        assert progress_line(DONE, 2) == "finished 40 of 40, running 0, pruned 0, failed 0"


class TestTimeLeft:
    @pytest.mark.parametrize(
        ("changes", "n_workers", "seconds"),
        [
            ({}, 2, 27 * 60 / 2),  # 40 - 12, and 2 that are half done
            ({"running": 0}, 1, 28 * 60),
            ({"running": 0}, 0, 28 * 60),
            ({"running": 4}, 2, 26 * 60 / 4),  # two of another machine
            ({"complete": 36, "running": 1}, 1, 0.5 * 60),
            ({"complete": 37, "running": 3}, 3, 0.5 * 60 / 3),  # more than are wanted
            ({"complete": 37, "running": 0, "waiting": 1}, 1, 0.5 * 60),
        ],
    )
    def test_what_runs_is_half_done(
        self, changes: dict[str, int], n_workers: int, seconds: float
    ) -> None:
        assert seconds_left(replace(MIDDLE, **changes), n_workers) == seconds

    def test_nobody_can_tell_before_the_first_trial_or_after_the_last(self) -> None:
        assert seconds_left(START, 2) is None
        assert seconds_left(replace(START, running=2), 2) is None
        assert seconds_left(DONE, 2) is None

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [
            (0.2, "0 s"),
            (42, "42 s"),
            (89.4, "89 s"),
            (90, "2 min"),
            (150, "2 min"),
            (5340, "89 min"),
            (5400, "1 h 30 min"),
            (7500, "2 h 05 min"),
            (90_000, "25 h 00 min"),
        ],
    )
    def test_in_the_words_of_a_person(self, seconds: float, text: str) -> None:
        assert duration(seconds) == text


class TestInATerminal:
    def test_a_shorter_line_covers_the_longer_one(self) -> None:
        stream = Terminal()
        shown = Progress(stream)
        shown.show(MIDDLE, 2)
        shown.show(DONE, 2)
        shown.end()
        long = "finished 12 of 40, running 2, pruned 3, failed 0, about 14 min left"
        short = "finished 40 of 40, running 0, pruned 0, failed 0"
        assert stream.getvalue() == f"\r{long}\r{short}{' ' * (len(long) - len(short))}\n"

    def test_a_message_takes_the_place_of_the_line(self) -> None:
        stream = Terminal()
        shown = Progress(stream)
        shown.tell("begins")
        shown.show(START, 1)
        shown.tell("a worker died")
        shown.show(START, 1)
        line = "finished 0 of 40, running 0, pruned 0, failed 0"
        clear = f"\r{' ' * len(line)}\r"
        assert stream.getvalue() == f"begins\n\r{line}{clear}a worker died\n\r{line}"

    def test_nothing_shown_needs_no_end(self) -> None:
        stream = Terminal()
        Progress(stream).end()
        assert stream.getvalue() == ""


class TestInAPipe:
    def test_lines_come_seldom_but_the_last_one_at_once(self) -> None:
        stream = io.StringIO()
        shown = Progress(stream)
        for n_complete in range(41):
            shown.show(replace(START, complete=n_complete), 1)
        shown.show(replace(START, complete=40), 1)
        shown.end()
        assert stream.getvalue().splitlines() == [
            "finished 0 of 40, running 0, pruned 0, failed 0",
            "finished 40 of 40, running 0, pruned 0, failed 0",
        ]

    def test_half_a_minute_later_comes_another(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
        monkeypatch.setattr(progress, "time", clock)
        stream = io.StringIO()
        shown = Progress(stream)
        seen = []
        for n_complete, now in ((1, 1000.0), (2, 1009.0), (3, 1010.0), (3, 1070.0), (4, 1070.0)):
            clock.now = now
            shown.show(replace(START, complete=n_complete), 1)
            seen.append(len(stream.getvalue().splitlines()))
        assert seen == [1, 1, 2, 2, 3]  # none for what was shown already

    def test_errors_of_another_time_are_not_told_again(self) -> None:
        stream = io.StringIO()
        shown = Progress(stream)
        shown.know(replace(START, errors=((3, "old"),)))
        shown.show(replace(START, errors=((3, "old"), (4, "new"))), 1)
        assert stream.getvalue().splitlines()[0] == "trial 4 failed: new"

    def test_a_message_is_a_line(self) -> None:
        stream = io.StringIO()
        Progress(stream).tell("a worker died")
        assert stream.getvalue() == "a worker died\n"


class TestErrors:
    def test_each_is_told_once(self) -> None:
        stream = io.StringIO()
        shown = Progress(stream)
        first, second = (2, "ValueError: no"), (5, "MemoryError: full")
        for errors in ((), (first,), (first,), (first, second), (first, second)):
            shown.show(replace(START, errors=errors), 1)
        told = [line for line in stream.getvalue().splitlines() if line.startswith("trial")]
        assert told == ["trial 2 failed: ValueError: no", "trial 5 failed: MemoryError: full"]

    def test_also_if_the_later_trial_failed_first(self) -> None:
        """Errors come by the numbers of their trials, and workers are not equally fast."""
        stream = io.StringIO()
        shown = Progress(stream)
        for errors in (((5, "full"),), ((3, "no"), (5, "full"))):
            shown.show(replace(START, errors=errors), 1)
        told = [line for line in stream.getvalue().splitlines() if line.startswith("trial")]
        assert told == ["trial 5 failed: full", "trial 3 failed: no"]
