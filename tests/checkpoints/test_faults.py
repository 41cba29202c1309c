"""Kills, full disks and damaged files: the training goes on from what is whole, to the bit."""

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
from tests.checkpoints.faults import KilledError, contents, cut_short, full_disk, kill_at
from tests.checkpoints.small import (
    STEPS,
    assert_same_training,
    close,
    dqn,
    go_on,
    learn,
    poles,
)
from tests.checkpoints.trainings import CutError, CutOff

#: Files of a training that was cut off after the checkpoint of step 120; that of step 80 is older.
NEWEST = ("step-000000120.npz", "memory-000000120.npz")
SHARED = ("memory-000000080.npz", "memory-000000040.npz")


class KilledInWrite(ExactCheckpoint):
    """Dies while it writes its third checkpoint, after so many operations on files."""

    def __init__(self, *args: Any, at: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.at = at

    def _take(self, *, finished: bool = False) -> None:
        if self.model.num_timesteps < 120:
            return super()._take(finished=finished)
        with kill_at(self.at):
            super()._take(finished=finished)
        raise KilledError  # once all is written


@pytest.mark.parametrize("at", [1, 20, 60, 90, 95, 110, 10_000])
def test_a_kill_in_a_write_costs_nothing(at: int, peace: Path, tmp_path: Path) -> None:
    model = dqn(poles(tmp_path))
    with pytest.raises(KilledError):
        model.learn(STEPS, KilledInWrite(40, folder=tmp_path, at=at))
    close(model)
    log = (tmp_path / "checkpoints" / "log.jsonl").read_text()
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events.count("write") == 3
    assert events.count("written") == (3 if at == 10_000 else 2)
    go_on(tmp_path)
    assert_same_training(peace, tmp_path)
    assert not list((tmp_path / "checkpoints").glob("*.part"))


def test_a_full_disk_stops_nothing(
    peace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At step 80 no file fits, at step 120 only the second does not."""
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
            if step in (80, 120):  # as before, and with as much room
                names = {"step-000000040.npz", "memory-000000040.npz"}
                assert set(os.listdir(folder)) == {*names, "lock", "log.jsonl"}
                assert CheckpointFolder(folder).newest().step == 40

    monkeypatch.setattr(CheckpointFolder, "write_segment", write_or_fail)
    model = dqn(poles(tmp_path))
    model.learn(STEPS, FullAt80(40, folder=tmp_path))
    close(model)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for step, line in zip((80, 120), lines, strict=True):
        assert line.startswith(f"The checkpoint at step {step} could not be written ([Errno 27] ")
        assert line.endswith("): that of step 40 is kept")
    assert_same_training(peace, tmp_path)


def test_a_full_disk_at_the_first_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class AlwaysFull(ExactCheckpoint):
        def _take(self, *, finished: bool = False) -> None:
            with full_disk(300):
                super()._take(finished=finished)

    model = dqn(poles(tmp_path))
    model.learn(50, AlwaysFull(40, folder=tmp_path))
    close(model)
    assert "at step 40 could not be written" in capsys.readouterr().out
    with pytest.raises(CheckpointError, match="has no checkpoint"):
        go_on(tmp_path)


@pytest.mark.parametrize("name", NEWEST)
def test_a_damaged_checkpoint_costs_nothing(
    name: str, run: Path, peace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut_short(run / "checkpoints" / name, np.random.default_rng(len(name)))
    go_on(run)
    said = capsys.readouterr().out
    assert f"{name} is damaged" in said
    assert "; the checkpoint before it is taken\nResumed at step 80 of 200\n" in said
    assert_same_training(peace, run)


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("damage", [cut_short, lambda path, _: path.unlink()])
def test_what_all_need_is_missed_before_anything_is_altered(
    damage: Any, name: str, run: Path
) -> None:
    damage(run / "checkpoints" / name, np.random.default_rng(len(name)))
    before = contents(run)
    with pytest.raises(CheckpointError, match=rf"{name} (is damaged|cannot be read: No)"):
        go_on(run)
    assert contents(run) == before


@pytest.mark.parametrize("path", ["no run", "run/checkpoints/log.jsonl", "run/checkpoints", "."])
def test_no_folder_is_nothing_to_resume(path: str, run: Path) -> None:
    with pytest.raises(CheckpointError, match="has no folder checkpoints: nothing to resume"):
        go_on(run.parent / path, poles(None))
    assert not (run.parent / "no run").exists()


def test_a_training_that_died_leaves_its_folder_to_the_next(tmp_path: Path) -> None:
    model, first = dqn(poles(None)), ExactCheckpoint(40, folder=tmp_path)
    with pytest.raises(CutError):
        model.learn(100, [first, CutOff(30)])
    assert CheckpointFolder(tmp_path / "checkpoints").is_used()  # SB3 calls nothing at an error
    with pytest.raises(CheckpointError, match="nothing to resume"):
        go_on(tmp_path, poles(None))
    with pytest.raises(CutError):
        model.learn(100, [first, CutOff(30)])
    model.learn(60, ExactCheckpoint(40, folder=tmp_path))
    folder = CheckpointFolder(tmp_path / "checkpoints")
    assert folder.newest().step == 60
    assert not folder.is_used()
    close(model)


#: A child that may write nothing in the folder that it is given.
UNPRIVILEGED = """
import os, sys, traceback
from pathlib import Path
from tests.checkpoints.small import dqn, go_on, learn, poles
run, model, env = Path(sys.argv[1]), dqn(poles(None)), poles(None)
if os.geteuid() == 0:  # who may read all, Python's files too
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for attempt in (
    lambda: learn(run, model=model),
    lambda: learn(run / "new", model=model),
    lambda: go_on(run, env),
):
    try:
        attempt()
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.fixture
def read_only(cut: Path) -> Iterator[Path]:
    """Return a run folder in which an ordinary user may write nothing, files that are there too."""
    if os.name != "posix":
        pytest.skip("other systems have other rights")
    with tempfile.TemporaryDirectory() as outer:  # pytest's own is open to nobody else
        Path(outer).chmod(0o755)
        run = Path(shutil.copytree(cut, Path(outer).resolve() / "run"))
        for path in (run, *run.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield run
        for path in (run, run / "checkpoints"):
            path.chmod(0o755)


@pytest.mark.process
def test_a_folder_where_nothing_can_be_written(read_only: Path) -> None:
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
        f"CheckpointError {folder} cannot be written to: {denied}: '{folder}/lock'",
    ]
    assert contents(read_only) == before


#: A process that has a folder for itself, in the way of the package ``filelock``.
HOLDER = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print(1)"


@pytest.mark.process
def test_two_processes_cannot_train_in_one_folder(run: Path, peace: Path) -> None:
    pytest.importorskip("fcntl")
    before, folder = contents(run), run / "checkpoints"
    arguments = [sys.executable, "-uc", HOLDER + "; sys.stdin.read()", str(folder / "lock")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"1\n"
        assert CheckpointFolder(folder).is_used()
        with pytest.raises(CheckpointError, match=rf"another training runs in {run}: wait for its"):
            go_on(run, poles(None))
        with pytest.raises(SettingError, match="another training runs in"):
            learn(run, model=dqn(poles(None)))
        assert contents(run) == before
        other.kill()  # the kernel gives the folder back
    go_on(run)
    assert_same_training(peace, run)
