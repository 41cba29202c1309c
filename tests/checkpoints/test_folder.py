"""CheckpointFolder: validation after kills, full disks and damage; locking; unfinished runs."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course.checkpoints.folder import (
    Checkpoint,
    CheckpointFolder,
    Segment,
    print_unfinished_runs,
)
from tests.checkpoints.faults import (
    KilledError,
    contents,
    cut_short,
    flip,
    full_disk,
    kill_at,
)

#: Files of the last two of three checkpoints with a segment each, for a buffer of 25 rows.
KEPT = {
    "step-000000020.npz",
    "step-000000030.npz",
    "memory-000000010.npz",
    "memory-000000020.npz",
    "memory-000000030.npz",
}


def noise(step: int) -> bytes:
    return np.random.default_rng(step).bytes(300)


def write(folder: CheckpointFolder, step: int, finished: bool = False) -> Checkpoint:
    """Write a checkpoint with ten new rows; the replay buffer contains the last 25 rows."""
    try:
        segments = folder.newest().segments
    except CheckpointError:
        segments = ()
    new = folder.write_segment(step, step - 10, step, {"rows": noise(-step % 1000)})
    segments = (*(one for one in segments if one.end > step - 25), new)
    checkpoint = Checkpoint(step, 1000, finished, {}, n_rows=step, segments=segments)
    folder.write(checkpoint, {"step": step, "noise": noise(step), "time": time.perf_counter()})
    return checkpoint


def filled_folder(path: Path, *steps: int) -> CheckpointFolder:
    folder = CheckpointFolder(path)
    folder.path.mkdir(parents=True)
    for step in steps or (10, 20, 30):
        write(folder, step)
    return folder


def check(folder: CheckpointFolder) -> int:
    """Return the step of the newest checkpoint after checking its contents."""
    newest = folder.newest()
    state = folder.read_state(newest)
    assert (state["step"], state["noise"]) == (newest.step, noise(newest.step))
    for one in newest.segments:
        assert folder.read_segment(one) == {"rows": noise(-one.end % 1000)}
    assert newest.segments[-1].end == newest.n_rows == newest.step
    return newest.step


def test_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    folder = filled_folder(tmp_path / "a")
    assert set(os.listdir(folder.path)) == KEPT
    assert check(folder) == 30
    write(folder, 40)
    write(folder, 50)
    assert {name for name in os.listdir(folder.path) if name.startswith("memory")} == {
        "memory-000000020.npz",  # of step 40: rows 15 to 40
        "memory-000000030.npz",
        "memory-000000040.npz",
        "memory-000000050.npz",
    }


def test_newest_checkpoint_equals_the_written_one(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    segment = folder.write_segment(5, 0, 5, {"a": np.arange(3)})
    facts = {"algorithm": "DQN", "memory": {"arrays": {"rewards": ["<f4", 2]}}}
    written = Checkpoint(
        5, 9, True, facts, n_rows=5, segments=(segment,), versions={"torch": "2.9"}
    )
    folder.write(written, [1])
    assert folder.newest() == folder.peek() == written
    assert isinstance(folder.newest().segments[0], Segment)


def test_kill_at_any_operation_leaves_the_previous_or_new_checkpoint(tmp_path: Path) -> None:
    source = filled_folder(tmp_path / "source").path
    found, last = [], 0
    while True:
        path = tmp_path / "copy"
        shutil.copytree(source, path)
        try:
            with kill_at(last):
                write(CheckpointFolder(path), 40)
        except KilledError:
            pass
        else:
            break
        folder = CheckpointFolder(path)
        found.append(check(folder))
        assert folder.newest().warnings == ()
        write(folder, 50)  # also deletes leftover files
        kept = [one.names for one in folder._readable()]
        assert len(kept) == 2
        assert f"step-0000000{found[-1]}.npz" in kept[1]
        assert set(os.listdir(path)) == set.union(*kept)
        shutil.rmtree(path)
        last += 1
    assert found == sorted(found)
    assert set(found) == {30, 40}
    assert last > 40


#: Damaged file -> step of the checkpoint that remains valid; None if neither does.
DAMAGE = {
    "step-000000030.npz": 20,
    "memory-000000030.npz": 20,
    "step-000000020.npz": 30,
    "memory-000000020.npz": None,
    "memory-000000010.npz": None,
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("damage", [flip, cut_short])
def test_damaged_files_fall_back_to_the_older_checkpoint(
    damage: Callable[[Path, Any], None], name: str, tmp_path: Path
) -> None:
    """Flipping a bit of the zip file that is never read has no effect."""
    folder, rng, n_seen = (
        filled_folder(tmp_path / "a"),
        np.random.default_rng(sum(name.encode())),
        0,
    )
    whole = (folder.path / name).read_bytes()
    for _ in range(25):
        damage(folder.path / name, rng)
        n_seen += expect(folder, name, DAMAGE[name])
        (folder.path / name).write_bytes(whole)
    assert n_seen == 25 if damage is cut_short else n_seen > 12
    assert check(folder) == 30


def expect(folder: CheckpointFolder, name: str, step: int | None) -> bool:
    """Return whether the remaining checkpoint was found and the damage reported."""
    before = contents(folder.path)
    problem = ""
    try:
        found, warnings = check(folder), folder.newest().warnings
    except CheckpointError as error:
        problem = str(error)
    if problem:
        assert step is None
        assert name in problem
        return True
    assert contents(folder.path) == before
    assert found in (step, 30)
    assert len(warnings) == (found == 20)
    assert all(name in warning for warning in warnings)
    return found == step


@pytest.mark.parametrize("name", DAMAGE)
def test_missing_files_fall_back_to_the_older_checkpoint(name: str, tmp_path: Path) -> None:
    folder = filled_folder(tmp_path / "a")
    (folder.path / name).unlink()
    if name == "step-000000030.npz":  # like a checkpoint that was never written
        assert check(folder) == 20
        assert folder.newest().warnings == ()
    else:
        assert expect(folder, name, DAMAGE[name])


def test_detects_a_replaced_segment(tmp_path: Path) -> None:
    folder = filled_folder(tmp_path / "a")
    shutil.copy(folder.path / "memory-000000020.npz", folder.path / "memory-000000030.npz")
    assert check(folder) == 20
    assert "memory-000000030.npz" in folder.newest().warnings[0]


def test_rejects_and_keeps_checkpoints_of_another_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = filled_folder(tmp_path / "a")
    np.savez(folder.path / "step-000000030.npz", tree=np.zeros(3))  # like earlier versions
    assert check(folder) == 20
    (folder.path / "step-000000020.npz").unlink()
    with pytest.raises(CheckpointError, match=r"not of format 4, .*: use the version"):
        folder.newest()
    assert folder.has_checkpoints
    assert folder.peek() is None


def test_empty_and_missing_folders_have_no_checkpoint(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "not there"):
        folder = CheckpointFolder(path)
        assert not folder.has_checkpoints
        assert not folder.is_used()
        assert folder.peek() is None
        with pytest.raises(CheckpointError, match="has no checkpoint"):
            folder.newest()
    assert not (tmp_path / "not there").exists()


def test_full_disk_keeps_the_previous_checkpoint(tmp_path: Path) -> None:
    folder = filled_folder(tmp_path / "a")
    names, n_failed = set(os.listdir(folder.path)), 0
    for n_bytes in range(0, 3000, 250):
        with full_disk(n_bytes):
            try:
                write(folder, 40)
            except OSError:
                folder.clear()
                n_failed += 1
            else:
                break
        assert set(os.listdir(folder.path)) == names
        assert check(folder) == 30
    assert n_failed >= 4
    assert check(folder) == 40


def test_clear_keeps_files_of_damaged_checkpoints(tmp_path: Path) -> None:
    folder = filled_folder(tmp_path / "a")
    for name in ("step-000000040.npz.part", "memory-000000040.npz.part", "notes.txt"):
        (folder.path / name).touch()
    cut_short(folder.path / "step-000000020.npz", np.random.default_rng(1))
    before = set(os.listdir(folder.path))
    folder.clear()  # the segments of the damaged checkpoint are unknown
    assert set(os.listdir(folder.path)) == before
    (folder.path / "step-000000020.npz").unlink()
    folder.clear()
    assert set(os.listdir(folder.path)) == {*KEPT - {"step-000000020.npz"}, "notes.txt"}
    assert check(folder) == 30


def test_lock_allows_one_training_per_folder(tmp_path: Path) -> None:
    first, second = (CheckpointFolder(tmp_path / "run" / "checkpoints") for _ in range(2))
    first.lock()
    assert first.is_locked
    assert first.is_used()
    assert second.is_used()
    with pytest.raises(CheckpointError, match=r"another training runs in .*run"):
        second.lock()
    first.unlock()
    assert not second.is_used()
    second.lock()
    assert first.is_used()
    second.unlock()
    second.unlock()  # idempotent


def test_event_log_has_a_line_per_event(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.log_event("write", step=3)
    folder.log_event("written", step=3, bytes=10)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["event"], line["step"]) for line in lines] == [("write", 3), ("written", 3)]
    assert 0 <= lines[1]["time"] - lines[0]["time"] < 60


def test_prints_unfinished_runs_that_are_not_in_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(name: str, step: int, finished: bool = False) -> CheckpointFolder:
        folder = CheckpointFolder(tmp_path / "my logs" / name / "checkpoints")
        folder.path.mkdir(parents=True)
        write(folder, step, finished)
        return folder

    run("Taxi-v4_1", 120)
    run("Taxi-v4_2", 130, finished=True)
    used = run("Taxi-v4_3", 140)
    run("CartPole-v1_1", 150)
    run("Taxi-v4_4", 160).log_event("ended", step=165)  # by another callback
    (tmp_path / "my logs" / "Taxi-v4_5").mkdir()
    used.lock()
    print_unfinished_runs(tmp_path / "my logs", "Taxi-v4")
    used.unlock()
    (line,) = capsys.readouterr().out.splitlines()
    assert "Taxi-v4_1 is unfinished (120 of 1,000 steps)" in line
    assert f"python -m sb3_atari_course resume '{tmp_path}/my logs/Taxi-v4_1'" in line
    print_unfinished_runs(tmp_path, "Taxi-v4")
    assert capsys.readouterr().out == ""
