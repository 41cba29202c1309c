"""Workers: they run trials until the budget is spent, and survive failures."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna import Trial
from optuna.exceptions import StorageInternalError
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from sb3_atari_course.tuning import workers
from sb3_atari_course.tuning.storage import LockedJournalStorage
from sb3_atari_course.tuning.study import ERROR, StudyStatus, create_or_join, find_study, status_of
from sb3_atari_course.tuning.workers import Interruption, Job, Launcher, progress_line, work
from tests.tuning.studies import Quick, make_study, settings, states

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb3_atari_course.tuning.workers._IDLE_INTERVAL", 0.01)


def test_pruned_trials_count_and_failed_ones_do_not() -> None:
    def play(trial: Trial) -> None:
        if trial.number == 1:
            raise optuna.TrialPruned
        if trial.number == 2:
            raise MemoryError

    study = make_study(n_trials=4)
    for _ in range(2):  # the second call finds the budget spent
        work(study, Quick(play))
        assert states(study) == ["COMPLETE", "PRUNED", "FAIL", "COMPLETE", "COMPLETE"]


def test_enqueued_trial_beyond_the_budget_is_not_run() -> None:
    study = make_study(n_trials=2)
    work(study, Quick())
    study.enqueue_trial({"x": 1.0})
    work(study, Quick())
    assert states(study) == ["COMPLETE", "COMPLETE", "FAIL"]
    assert status_of(study).n_died == 0


def test_worker_waits_for_trials_of_other_workers() -> None:
    storage = InMemoryStorage()
    study = make_study(storage, n_trials=2)
    theirs = study.ask()
    looks = []

    def play(trial: Trial) -> None:
        looks.append(states(study))

    def finish(seconds: float) -> None:
        """Finish the other worker's trial instead of sleeping."""
        study.tell(theirs, 0.5)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sb3_atari_course.tuning.workers.time.sleep", finish)
        work(study, Quick(play))
    assert looks == [["RUNNING", "RUNNING"]]
    assert states(study) == ["COMPLETE", "COMPLETE"]


def fail(trial: Trial) -> None:
    trial.set_user_attr(ERROR, "ValueError: no")
    raise ValueError("no")


def test_worker_ends_after_three_errors_in_a_row() -> None:
    study = make_study(n_trials=2)
    work(study, Quick(fail))
    assert states(study) == ["FAIL"] * 3
    work(study, Quick())  # another worker
    assert states(study) == ["FAIL"] * 3 + ["COMPLETE"] * 2


def test_worker_survives_errors_between_good_trials() -> None:
    study = make_study(n_trials=6)
    work(study, Quick(lambda trial: fail(trial) if trial.number % 3 else None))
    assert status_of(study).finished == 6
    assert len(status_of(study).errors) > 6


@pytest.fixture
def interruption() -> Iterator[Interruption]:
    interruption = Interruption()
    before = signal.signal(signal.SIGINT, interruption)
    yield interruption
    signal.signal(signal.SIGINT, before)


def interrupt(*_: object) -> None:
    signal.raise_signal(signal.SIGINT)


def test_interrupted_trial_is_marked_as_failed(interruption: Interruption) -> None:
    study = make_study(n_trials=4)
    with pytest.raises(KeyboardInterrupt):
        work(study, Quick(interrupt), interruption=interruption)
    assert states(study) == ["FAIL"]


@pytest.mark.parametrize(
    ("method", "call", "expected"),
    [
        ("set_trial_state_values", 1, ["FAIL"]),  # the first trial is enqueued: set to running
        ("set_trial_state_values", 2, ["COMPLETE"]),  # its result
        ("create_new_trial", 1, ["COMPLETE", "FAIL"]),
    ],
)
def test_no_trial_is_left_running_if_interrupted_between_trials(
    method: str,
    call: int,
    expected: list[str],
    interruption: Interruption,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = make_study(n_trials=4)
    real, calls = getattr(study._storage, method), []

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        result = real(*args, **kwargs)
        calls.append(args)
        if len(calls) == call:
            interrupt()
        return result

    monkeypatch.setattr(study._storage, method, interrupted)
    with pytest.raises(KeyboardInterrupt):
        work(study, Quick(), interruption=interruption)
    assert states(study) == expected


def test_waiting_worker_is_interrupted_at_once(
    interruption: Interruption, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_IDLE_INTERVAL", 60)
    study = make_study(n_trials=1)
    study.ask()  # another worker's
    Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        work(study, Quick(), interruption=interruption)
    assert time.monotonic() - start < 30


def test_no_trial_starts_after_the_time_limit() -> None:
    study = make_study(n_trials=1000)
    work(study, Quick(lambda trial: time.sleep(0.15)), seconds=0.3)
    assert 1 <= status_of(study).complete <= 3
    assert status_of(study).running == 0


def test_trial_marked_dead_by_another_worker_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = tmp_path / "journal.log"
    study = make_study(LockedJournalStorage(journal, patience=60), n_trials=2)
    other = create_or_join(LockedJournalStorage(journal), "ice", settings(), None, 1)

    def mark_as_dead(trial: Trial) -> None:
        if trial.number == 0:
            other._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    work(study, Quick(mark_as_dead))
    assert states(other) == ["FAIL", "COMPLETE", "COMPLETE"]
    assert "trial lost" in capsys.readouterr().out


def test_worker_raises_after_several_lost_trials_in_a_row() -> None:
    study = make_study(n_trials=2)

    def end_it(trial: Trial) -> None:
        study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    with pytest.raises(Exception, match=r"Cannot tell|Should not reach"):
        work(study, Quick(end_it))
    assert states(study) == ["FAIL"] * 5


def test_worker_survives_lost_trials_between_others() -> None:
    study = make_study(n_trials=6)

    def end_it(trial: Trial) -> None:
        if trial.number % 2 == 0:
            study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    work(study, Quick(end_it))
    assert states(study).count("COMPLETE") == 6


def test_worker_retries_while_the_storage_is_unavailable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = make_study(n_trials=2)
    real, calls = study._storage.get_all_trials, []

    def away(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) in (1, 2, 7):
            raise StorageInternalError("gone")
        return real(*args, **kwargs)

    study._storage.get_all_trials = away  # type: ignore[method-assign]
    work(study, Quick())
    assert status_of(study).complete == 2
    assert capsys.readouterr().out.count("gone") >= 2


def test_worker_survives_a_result_that_cannot_be_written(tmp_path: Path) -> None:
    """The disk is temporarily full: the trial fails, and the worker continues."""
    study = make_study(LockedJournalStorage(tmp_path / "journal.log", patience=0), n_trials=2)
    real, calls = study._storage._write_log, []  # type: ignore[attr-defined]

    def full(code: int, fields: dict[str, Any]) -> None:
        if fields.get("state") == TrialState.COMPLETE and not calls:
            calls.append(fields)
            raise OSError(28, "No space left on device")
        real(code, fields)

    study._storage._write_log = full  # type: ignore[attr-defined]
    work(study, Quick())
    assert states(study) == ["FAIL", "COMPLETE", "COMPLETE"]


def job_in(folder: Path) -> Job:
    return Job(None, "ice", str(folder), 1, "cpu", 60, math.inf)


def start_worker(folder: Path) -> subprocess.Popen[bytes]:
    job = asdict(job_in(folder))
    process = subprocess.Popen(
        [sys.executable, "-m", "sb3_atari_course.tuning.workers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(job).encode() + b"\n")
    process.stdin.flush()
    return process


@pytest.mark.process
def test_worker_process_runs_its_job(tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    make_study(LockedJournalStorage(journal), n_trials=2)
    with start_worker(tmp_path) as process:
        assert process.wait(120) == 0  # its input is still open
        assert process.stdout is not None
        printed = process.stdout.read().decode()
    assert states(find_study(LockedJournalStorage(journal), "ice")) == ["COMPLETE"] * 2
    assert "trial 1: scored" in printed
    assert (tmp_path / "trials/0001.yml").is_file()


def test_worker_process_stops_with_its_launcher(tmp_path: Path) -> None:
    """Also where Ctrl-C is ignored, as in a script that a shell runs in the background."""
    journal = tmp_path / "journal.log"
    study = make_study(LockedJournalStorage(journal), n_trials=1, n_timesteps=10**8)
    with start_worker(tmp_path) as process:
        assert process.stdin is not None
        while "RUNNING" not in states(study):
            time.sleep(0.05)
        time.sleep(1.0)  # it is training
        process.stdin.close()
        assert process.wait(60) == 130
        process.stdin = None
    assert states(study) == ["FAIL"]
    assert status_of(study).errors == ()


START = StudyStatus(
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


class TestProgressLine:
    def test_shows_counts_best_score_and_remaining_time(self) -> None:
        best = optuna.trial.create_trial(state=TrialState.COMPLETE, value=487.31)
        best.number = 7
        status = replace(MIDDLE, errors=((1, "a"), (4, "b")), n_died=1, best=best)
        assert progress_line(status, 2) == (
            "finished 12 of 40, running 2, pruned 3, failed 2, killed 1, best 487.3 (trial 7),"
            " about 0 h 14 min left"
        )

    @pytest.mark.parametrize("status", [START, replace(START, running=2), DONE])
    def test_no_time_left_before_the_first_and_after_the_last_trial(
        self, status: StudyStatus
    ) -> None:
        state = f"{status.finished} of 40, running {status.running}"
        assert progress_line(status, 2) == f"finished {state}, pruned 0, failed 0"

    @pytest.mark.parametrize(
        ("changes", "n_workers", "left"),
        [
            ({"running": 0}, 1, "0 h 28 min"),
            ({"running": 4}, 2, "0 h 07 min"),  # two of them on another machine
            ({"complete": 37, "running": 3}, 3, "0 h 01 min"),  # more than the budget
            ({"mean_seconds": 1000.0}, 2, "3 h 45 min"),
        ],
    )
    def test_running_trials_count_as_half_finished(
        self, changes: dict[str, Any], n_workers: int, left: str
    ) -> None:
        assert progress_line(replace(MIDDLE, **changes), n_workers).endswith(f"about {left} left")


class TestLauncher:
    """Output of the launcher; tests/services has those of its processes."""

    @pytest.fixture
    def launcher(self, tmp_path: Path) -> Launcher:
        return Launcher(make_study(), job_in(tmp_path), n_workers=1)

    def test_prints_every_ten_seconds_and_at_the_end(
        self,
        launcher: Launcher,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        clock: Any = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
        monkeypatch.setattr(workers, "time", clock)
        seen = []
        times = [(1, 1000.0), (2, 1009.0), (3, 1010.0), (3, 1070.0), (4, 1070.0), (40, 1070.0)]
        for n_complete, clock.now in times:
            launcher._show(replace(START, complete=n_complete))
            seen.append(len(capsys.readouterr().out.splitlines()))
        assert seen == [1, 0, 1, 0, 1, 1]  # unchanged lines are not repeated

    def test_prints_each_error_once(
        self, launcher: Launcher, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first, second = (2, "ValueError: no"), (5, "MemoryError: full")
        for errors in ((first,), (first,), (first, second)):
            launcher._show(replace(START, errors=errors))
        lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("trial")]
        assert lines == ["trial 2 failed: ValueError: no", "trial 5 failed: MemoryError: full"]

    def test_does_not_print_errors_of_earlier_runs(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        study = make_study()
        work(study, Quick(fail))
        launcher = Launcher(study, job_in(tmp_path), n_workers=1)
        launcher._check_study()
        assert "trial" not in capsys.readouterr().out


class Scripted:
    """Worker without a process: ends as its script says.

    :param deaths: what :meth:`poll` returns, one a call; the last one stays.
    """

    def __init__(self, deaths: list[str | None]) -> None:
        self.deaths, self.calls = deaths, list[str]()

    def poll(self) -> str | None:
        return self.deaths.pop(0) if len(self.deaths) > 1 else self.deaths[0]

    def stop(self) -> None:
        self.calls.append("stop")

    def kill(self) -> None:
        self.calls.append("kill")


class TestReplacement:
    """Any kind of worker: replaced if it dies, stopped at the end."""

    @pytest.fixture(autouse=True)
    def _no_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(workers, "_WORKER_INTERVAL", 0.001)
        monkeypatch.setattr(workers, "_KILL_TIMEOUT", 0.01)

    def run(
        self, scripts: list[list[str | None]], folder: Path, *, n_workers: int = 1
    ) -> list[Scripted]:
        """Run a launcher whose workers follow the scripts, in the order of their start."""
        started: list[Scripted] = []

        def start(job: Job, log: Path) -> Scripted:
            assert log.read_text() == ""  # exists: its last line is shown if the worker dies
            log.write_text(f"worker {len(started)}")
            started.append(Scripted(scripts[len(started)]))
            return started[-1]

        self.started = started
        Launcher(make_study(), job_in(folder), n_workers=n_workers, start=start).run()
        return started

    def test_dead_worker_is_replaced_and_a_finished_one_is_not(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        scripts: list[list[str | None]] = [[""], [None, "lost with its node"], [None, ""]]
        started = self.run(scripts, tmp_path, n_workers=2)
        assert len(started) == 3
        assert [worker.calls for worker in started] == [[]] * 3
        assert "lost with its node" in capsys.readouterr().out

    def test_repeated_deaths_end_the_study_and_stop_the_others(self, tmp_path: Path) -> None:
        running: list[str | None] = [*[None] * 1000, ""]  # ends at last
        scripts: list[list[str | None]] = [running, *[["killed"] for _ in range(10)]]
        with pytest.raises(ValueError, match=r"10 workers died .* killed; .*: worker 10"):
            self.run(scripts, tmp_path, n_workers=2)
        assert len(self.started) == 11
        assert self.started[0].calls == ["stop", "kill"]  # it did not stop in time
