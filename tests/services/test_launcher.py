"""Tuning workers as real processes: started, replaced when killed, stopped on Ctrl-C."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from optuna import Study
from optuna.trial import TrialState

from sb3_atari_course.tuning.storage import LockedJournalStorage
from sb3_atari_course.tuning.study import WORKER, status_of
from sb3_atari_course.tuning.workers import MAX_DEATHS, Job, Launcher
from tests.tuning.studies import make_study, states

pytestmark = pytest.mark.services


def launcher(study: Study, folder: Path, n_workers: int = 1) -> Launcher:
    job = Job(
        storage=None,
        study_name="ice",
        folder=str(folder),
        n_threads=1,
        device="cpu",
        grace_period=60,
        deadline=math.inf,
    )
    return Launcher(study, job, n_workers=n_workers)


def begin_in(folder: Path, n_trials: int, n_timesteps: int = 1000) -> Study:
    journal = LockedJournalStorage(folder / "journal.log")
    return make_study(journal, n_trials=n_trials, n_timesteps=n_timesteps)


def children() -> set[int]:
    found = set()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # also for a process that has just ended
            if "tuning.workers" in " ".join(child.cmdline()):
                found.add(child.pid)
    return found


def test_two_workers_share_the_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = begin_in(tmp_path, 6, n_timesteps=60_000)
    launcher(study, tmp_path, n_workers=2).run()
    assert status_of(study).is_done
    assert states(study) == ["COMPLETE"] * 6
    assert len({trial.user_attrs[WORKER][1] for trial in study.trials}) == 2
    assert (
        capsys.readouterr().out.splitlines()[-1].startswith("finished 6 of 6, running 0, pruned 0")
    )
    assert len(list((tmp_path / "workers").glob("*.log"))) == 2
    assert not children()


def test_killed_worker_is_replaced_and_its_trial_retried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = begin_in(tmp_path, 2, n_timesteps=60_000)

    def kill_the_first() -> None:
        storage = LockedJournalStorage(tmp_path / "journal.log")
        while True:
            trials = storage.get_all_trials(0, states=(TrialState.RUNNING,))
            if trials and trials[0].params and WORKER in trials[0].user_attrs:
                os.kill(trials[0].user_attrs[WORKER][1], signal.SIGKILL)
                return
            time.sleep(0.02)

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    launcher(study, tmp_path).run()
    killer.join()
    assert "killed by SIGKILL" in capsys.readouterr().out
    assert sorted(states(study)) == ["COMPLETE", "COMPLETE", "FAIL"]
    dead = next(trial for trial in study.trials if trial.state == TrialState.FAIL)
    again = [trial.params for trial in study.trials[dead.number + 1 :]]
    # it may have died between two parameters: those already suggested are retried
    assert any(dead.params.items() <= params.items() for params in again)
    assert status_of(study).n_died == 1


def test_workers_that_fail_immediately_are_not_restarted_forever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho 'no torch here' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    study = begin_in(tmp_path, 2)
    with pytest.raises(ValueError, match=r"5 workers died .* status 3; .*\.log: no torch here"):
        launcher(study, tmp_path).run()
    assert len(list((tmp_path / "workers").glob("*.log"))) == MAX_DEATHS == 5


def test_ctrl_c_stops_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = begin_in(tmp_path, 2, n_timesteps=10**8)
    launching = launcher(study, tmp_path)

    def interrupt(*args: object, **kwargs: object) -> None:
        if any(trial.params for trial in study.get_trials(deepcopy=False)):  # a trial is running
            raise KeyboardInterrupt

    monkeypatch.setattr(launching, "_check_study", interrupt)
    with pytest.raises(KeyboardInterrupt):
        launching.run()
    assert not children()
    assert states(study) == ["FAIL"]
