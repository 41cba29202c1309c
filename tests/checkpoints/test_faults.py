"""Kills, full disks and damaged files: training resumes from a valid checkpoint."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sb3_atari_course._common.errors import SettingError
from sb3_atari_course.checkpoints import CheckpointError
from sb3_atari_course.checkpoints.callback import ExactCheckpoint
from sb3_atari_course.checkpoints.folder import CheckpointFolder
from tests.checkpoints.cartpole_trainings import (
    STEPS,
    assert_same_training,
    cartpole,
    close,
    dqn,
    learn,
    resume_run,
)
from tests.checkpoints.faults import KilledError, contents, cut_short, full_disk, kill_at
from tests.checkpoints.trainings import Interrupt, InterruptError

#: Files of a training interrupted after the checkpoint of step 120, and those shared with step 80.
NEWEST = ("step-000000120.npz", "memory-000000120.npz")
SHARED = ("memory-000000080.npz", "memory-000000040.npz")


class KilledInWrite(ExactCheckpoint):
    """Is killed while writing its third checkpoint, after ``at`` file operations."""

    def __init__(self, *args: Any, at: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.at = at

    def _take(self, *, finished: bool = False) -> None:
        if self.model.num_timesteps < 120:
            return super()._take(finished=finished)
        with kill_at(self.at):
            super()._take(finished=finished)
        raise KilledError  # after everything is written


@pytest.mark.parametrize("at", [1, 20, 60, 90, 95, 110, 10_000])
def test_kill_during_a_write_keeps_the_previous_checkpoint(
    at: int, uninterrupted: Path, tmp_path: Path
) -> None:
    model = dqn(cartpole(tmp_path))
    with pytest.raises(KilledError):
        model.learn(STEPS, KilledInWrite(40, folder=tmp_path, at=at))
    close(model)
    log = (tmp_path / "checkpoints" / "log.jsonl").read_text()
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events.count("write") == 3
    assert events.count("written") == (3 if at == 10_000 else 2)
    resume_run(tmp_path)
    assert_same_training(uninterrupted, tmp_path)
    assert not list((tmp_path / "checkpoints").glob("*.part"))


def test_full_disk_does_not_stop_training(
    uninterrupted: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At step 80 all writes fail, at step 120 only that of the segment."""
    folder = tmp_path / "checkpoints"
    write_segment = CheckpointFolder.write_segment

    def write_or_fail(self: CheckpointFolder, step: int, *args: Any) -> Any:
        with full_disk(1000 if step == 120 else 10**9):
            return write_segment(self, step, *args)

    class FullAt80(ExactCheckpoint):
        def _take(self, *, finished: bool = False) -> None:
            step = self.model.num_timesteps
            with full_disk(1000 if step == 80 else 10**9):
                super()._take(finished=finished)
            if step in (80, 120):  # no leftover files
                names = {"step-000000040.npz", "memory-000000040.npz"}
                assert set(os.listdir(folder)) == {*names, "lock", "log.jsonl"}
                assert CheckpointFolder(folder).newest().step == 40

    monkeypatch.setattr(CheckpointFolder, "write_segment", write_or_fail)
    model = dqn(cartpole(tmp_path))
    model.learn(STEPS, FullAt80(40, folder=tmp_path))
    close(model)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for step, line in zip((80, 120), lines, strict=True):
        assert f"step {step} could not be written ([Errno 27] " in line
        assert line.endswith("step 40 is kept")
    assert_same_training(uninterrupted, tmp_path)


def test_full_disk_at_the_first_checkpoint_does_not_stop_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class AlwaysFull(ExactCheckpoint):
        def _take(self, *, finished: bool = False) -> None:
            with full_disk(300):
                super()._take(finished=finished)

    model = dqn(cartpole(tmp_path))
    model.learn(50, AlwaysFull(40, folder=tmp_path))
    close(model)
    assert "at step 40 could not be written" in capsys.readouterr().out
    with pytest.raises(CheckpointError, match="has no checkpoint"):
        resume_run(tmp_path)


@pytest.mark.parametrize("name", NEWEST)
def test_damaged_checkpoint_falls_back_to_the_previous_one(
    name: str, run: Path, uninterrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut_short(run / "checkpoints" / name, np.random.default_rng(len(name)))
    resume_run(run)
    printed = capsys.readouterr().out
    assert f"{name} is damaged" in printed
    assert printed.endswith("\nResumed at step 80 of 200\n")
    assert_same_training(uninterrupted, run)


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("damage", [cut_short, lambda path, _: path.unlink()])
def test_missing_shared_segment_fails_before_any_change(damage: Any, name: str, run: Path) -> None:
    damage(run / "checkpoints" / name, np.random.default_rng(len(name)))
    before = contents(run)
    with pytest.raises(CheckpointError, match=rf"{name} (is damaged|cannot be read: No)"):
        resume_run(run)
    assert contents(run) == before


@pytest.mark.parametrize("path", ["no run", "run/checkpoints/log.jsonl", "run/checkpoints", "."])
def test_rejects_folders_without_checkpoints(path: str, run: Path) -> None:
    with pytest.raises(CheckpointError, match="has no folder checkpoints"):
        resume_run(run.parent / path, cartpole(None))
    assert not (run.parent / "no run").exists()


def test_lock_of_a_failed_training_is_released(tmp_path: Path) -> None:
    model, first = dqn(cartpole(None)), ExactCheckpoint(40, folder=tmp_path)
    with pytest.raises(InterruptError):
        model.learn(100, [first, Interrupt(30)])
    assert CheckpointFolder(tmp_path / "checkpoints").is_used()  # SB3 calls no callback at an error
    with pytest.raises(CheckpointError, match="has no checkpoint"):
        resume_run(tmp_path, cartpole(None))
    with pytest.raises(InterruptError):
        model.learn(100, [first, Interrupt(30)])
    model.learn(60, ExactCheckpoint(40, folder=tmp_path))
    folder = CheckpointFolder(tmp_path / "checkpoints")
    assert folder.newest().step == 60
    assert not folder.is_used()
    close(model)


#: Child process without write access to the given folder.
UNPRIVILEGED = """
import os, sys, traceback
from pathlib import Path
from tests.checkpoints.cartpole_trainings import dqn, resume_run, learn, cartpole
run, model, env = Path(sys.argv[1]), dqn(cartpole(None)), cartpole(None)
if os.geteuid() == 0:  # drop privileges; files can still be read
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for attempt in (
    lambda: learn(run, model=model),
    lambda: learn(run / "new", model=model),
    lambda: resume_run(run, env),
):
    try:
        attempt()
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.fixture
def read_only(interrupted: Path) -> Iterator[Path]:
    """Return a run folder that is read-only for other users, including its files."""
    if os.name != "posix":
        pytest.skip("requires POSIX permissions")
    with tempfile.TemporaryDirectory() as outer:  # pytest's folder is not readable for other users
        Path(outer).chmod(0o755)
        run = Path(shutil.copytree(interrupted, Path(outer).resolve() / "run"))
        for path in (run, *run.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield run
        for path in (run, run / "checkpoints"):
            path.chmod(0o755)


@pytest.mark.process
def test_rejects_read_only_folders(read_only: Path) -> None:
    before = contents(read_only)
    child = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, str(read_only)],
        capture_output=True,
        text=True,
        check=True,
    )
    folder = read_only / "checkpoints"
    denied = "[Errno 13] Permission denied"
    assert child.stdout.splitlines() == [
        f"SettingError checkpoints cannot be written: {denied}: '{folder}/lock'",
        f"SettingError checkpoints cannot be written: {denied}: '{read_only}/new'",
        f"CheckpointError {folder} is not writable: {denied}: '{folder}/lock'",
    ]
    assert contents(read_only) == before


#: Process that locks a file like the package ``filelock``.
HOLDER = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print(1)"


@pytest.mark.process
def test_two_processes_cannot_train_in_one_folder(run: Path, uninterrupted: Path) -> None:
    pytest.importorskip("fcntl")
    before, folder = contents(run), run / "checkpoints"
    arguments = [sys.executable, "-uc", HOLDER + "; sys.stdin.read()", str(folder / "lock")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"1\n"
        assert CheckpointFolder(folder).is_used()
        with pytest.raises(CheckpointError, match=rf"another training runs in {run}"):
            resume_run(run, cartpole(None))
        with pytest.raises(SettingError, match="another training runs in"):
            learn(run, model=dqn(cartpole(None)))
        assert contents(run) == before
        other.kill()  # the kernel releases the lock
    resume_run(run)
    assert_same_training(uninterrupted, run)
