"""A journal that nothing stalls: dead workers, torn lines, locks that their holders left."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cloudpickle
import optuna
import pytest
from filelock import Timeout
from optuna import Study

from sb3_atari_course.tuning.journal import KernelLock, LockedJournalStorage, cut_torn_line
from sb3_atari_course.tuning.study import WORKER, begin_or_join, standing_of
from tests.tuning.studies import Quick, add_line, begin, settings, states

#: A process that begins a trial with one parameter and then sleeps; argument: the journal.
WORKER_THAT_SLEEPS = """
import sys, time, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from sb3_atari_course.tuning.journal import LockedJournalStorage
from sb3_atari_course.tuning.study import find_study
from tests.tuning.studies import Quick

def sleep(trial):
    while not storage._held:  # a thread of Optuna's takes the lock
        time.sleep(0.01)
    print("at work", flush=True)
    time.sleep(600)

storage = LockedJournalStorage(Path(sys.argv[1]))
study = find_study(storage, "ice")
study.optimize(Quick(sleep), n_trials=1)
"""


def open_journal(folder: Path, patience: float = 0.0) -> LockedJournalStorage:
    return LockedJournalStorage(folder / "journal.log", patience=patience)


def sleeper(journal: Path) -> subprocess.Popen[str]:
    """Return a process that is inside a trial."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER_THAT_SLEEPS, str(journal)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    with process.stdout as printed:
        assert printed.readline() == "at work\n"
    return process


def sweep(study: Study) -> None:
    optuna.storages.fail_stale_trials(study)


def test_a_trial_whose_worker_was_killed_is_failed_and_tried_again(tmp_path: Path) -> None:
    study = begin(open_journal(tmp_path))
    process = sleeper(tmp_path / "journal.log")
    sweep(study)
    assert states(study) == ["RUNNING"]  # its worker lives
    process.send_signal(signal.SIGKILL)
    process.wait()
    sweep(study)
    assert states(study) == ["FAIL", "WAITING"]
    assert study.trials[1].user_attrs == {}
    study.optimize(Quick(), n_trials=1)
    assert states(study) == ["FAIL", "COMPLETE"]
    assert study.trials[0].params == study.trials[1].params


def test_what_kills_its_worker_again_is_given_up(tmp_path: Path) -> None:
    study = begin(open_journal(tmp_path))
    for _ in range(2):
        process = sleeper(tmp_path / "journal.log")
        process.kill()
        process.wait()
        sweep(study)
    assert states(study) == ["FAIL", "FAIL"]
    assert study.trials[0].params == study.trials[1].params


def test_a_worker_that_dies_before_its_lock_is_found_too(tmp_path: Path) -> None:
    """The hole between ask and the first heartbeat."""
    study = begin(open_journal(tmp_path))
    study._storage.create_new_trial(study._study_id)
    sweep(study)
    assert states(study) == ["FAIL", "WAITING"]


def test_a_worker_that_is_about_to_take_its_lock_is_left_in_peace(tmp_path: Path) -> None:
    study = begin(open_journal(tmp_path, patience=0.3))
    trial_id = study._storage.create_new_trial(study._study_id)
    sweep(study)
    assert states(study) == ["RUNNING"]
    study._storage.record_heartbeat(trial_id)  # type: ignore[attr-defined]
    time.sleep(0.4)
    other = begin_or_join(open_journal(tmp_path, patience=0.0), "ice", settings(), None, 1)
    sweep(study)
    sweep(other)
    assert states(study) == ["RUNNING"]


def test_no_lock_is_left_of_a_trial_that_ended(tmp_path: Path) -> None:
    storage = open_journal(tmp_path)
    study = begin(storage)
    seen = []

    def look(trial: optuna.Trial) -> None:
        while not storage._held:  # a thread of Optuna's takes the lock
            time.sleep(0.01)
        seen.append([path.name for path in (tmp_path / "journal.log.running").iterdir()])

    study.optimize(Quick(look), n_trials=2)
    assert [len(names) for names in seen] == [1, 1]
    assert list((tmp_path / "journal.log.running").iterdir()) == []


@pytest.mark.parametrize("torn", ['{"op_code":4,"study', "\0" * 10_000, "x"])
def test_a_torn_last_line_is_mended(tmp_path: Path, torn: str) -> None:
    journal = tmp_path / "journal.log"
    study = begin(open_journal(tmp_path))
    study.optimize(Quick(), n_trials=2)
    whole = journal.read_bytes()
    add_line(journal, torn)
    again = begin_or_join(open_journal(tmp_path), "ice", settings(), None, 1)
    again.optimize(Quick(), n_trials=1)
    assert journal.read_bytes().startswith(whole + b"{")
    assert (
        states(begin_or_join(open_journal(tmp_path), "ice", settings(), None, 1))
        == ["COMPLETE"] * 3
    )


def test_a_whole_file_is_not_cut(tmp_path: Path) -> None:
    for content in (b"", b"a\n", b"a\nb\n", b"\n"):
        path = tmp_path / "file"
        path.write_bytes(content)
        cut_torn_line(path)
        assert path.read_bytes() == content


def test_a_file_of_one_torn_line_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 9000)
    cut_torn_line(path)
    assert path.read_bytes() == b""


def test_the_lock_of_a_killed_writer_stalls_nobody(tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    journal.touch()
    program = (
        "import sys, time; from pathlib import Path;"
        "from sb3_atari_course.tuning.journal import KernelLock;"
        "KernelLock(Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(journal)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as printed:
        assert printed.readline() == "held\n"
    process.kill()
    process.wait()
    begun = time.monotonic()
    lock = KernelLock(journal)
    assert lock.acquire()
    lock.release()
    assert time.monotonic() - begun < 1.0


COPY: dict[str, Any] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda one: pickle.loads(pickle.dumps(one)),
    "cloudpickle": lambda one: cloudpickle.loads(cloudpickle.dumps(one)),
}


@pytest.mark.parametrize("how", COPY)
def test_a_copied_storage_uses_the_same_journal_and_holds_no_lock(tmp_path: Path, how: str) -> None:
    storage = open_journal(tmp_path)
    study = begin(storage, n_trials=3)
    trial_id = storage.create_new_trial(study._study_id)
    storage.record_heartbeat(trial_id)
    copied = COPY[how](storage)
    assert (copied._held, len(storage._held)) == ({}, 1)
    other = begin_or_join(copied, "ice", settings(), None, 1)
    sweep(other)
    assert states(other) == ["RUNNING"]  # the original holds its lock
    other.optimize(Quick(), n_trials=1)
    storage.set_trial_state_values(trial_id, optuna.trial.TrialState.FAIL)
    assert states(study) == states(other) == ["FAIL", "COMPLETE"]


@pytest.mark.parametrize("how", COPY)
def test_a_copied_lock_guards_the_same_journal(tmp_path: Path, how: str) -> None:
    (tmp_path / "journal.log").touch()
    lock = KernelLock(tmp_path / "journal.log")
    lock.acquire()
    copied = COPY[how](lock)
    with pytest.raises(Timeout):
        copied._lock.acquire(blocking=False)
    lock.release()
    assert copied.acquire()
    copied.release()


def test_the_path_of_a_journal_may_be_a_string(tmp_path: Path) -> None:
    storage = LockedJournalStorage(str(tmp_path / "journal.log"))
    study = begin(storage)
    study.optimize(Quick(), n_trials=1)
    assert states(study) == ["COMPLETE"]
    assert KernelLock(str(tmp_path / "journal.log")).acquire()


def test_a_lock_whose_file_cannot_be_mended_is_given_back(tmp_path: Path) -> None:
    lock = KernelLock(tmp_path / "nowhere.log")
    with pytest.raises(FileNotFoundError):
        lock.acquire()
    (tmp_path / "nowhere.log").touch()
    assert KernelLock(tmp_path / "nowhere.log").acquire()


def test_workers_write_one_after_the_other(tmp_path: Path) -> None:
    """Two processes and this one add trials to one journal; no line is lost or mixed."""
    journal = tmp_path / "journal.log"
    study = begin(open_journal(tmp_path), n_trials=1000)
    program = (
        "import sys, warnings; warnings.simplefilter('ignore'); from pathlib import Path;"
        "from sb3_atari_course.tuning.journal import LockedJournalStorage;"
        "from sb3_atari_course.tuning.study import find_study;"
        "from tests.tuning.studies import Quick, quiet; quiet();"
        "study = find_study(LockedJournalStorage(Path(sys.argv[1])), 'ice');"
        "study.optimize(Quick(), n_trials=30)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(journal)], cwd=Path(__file__).parents[2]
        )
        for _ in range(2)
    ]
    study.optimize(Quick(), n_trials=30)
    assert [process.wait() for process in processes] == [0, 0]
    assert standing_of(study).complete == 90
    assert len({one.user_attrs[WORKER][1] for one in study.trials}) == 3
    assert [one.number for one in study.trials] == list(range(90))
