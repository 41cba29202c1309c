"""Log files of an interrupted and resumed training have neither gaps nor duplicate rows."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure

from sb3_atari_course.callbacks import CsvLog, EpisodeTable
from sb3_atari_course.checkpoints.log_files import read_logs, reopen_logger, truncate_logs
from tests.checkpoints.cartpole_trainings import cartpole, close, dqn, learn, resume_run
from tests.checkpoints.trainings import Interrupt, InterruptError

FORMATS = ["stdout", "csv", "json", "log", "tensorboard"]
TIMES = {"time/fps", "time/time_elapsed", "t", "seconds"}
#: Lines of SB3's log.txt that are not compared: times, rulers, folder names.
_NOT_COMPARED = ("fps", "time_elapsed", "---", "Logging to")


def logging_dqn(folder: Path, formats: list[str], **kwargs: Any) -> BaseAlgorithm:
    """Return a DQN with the given log formats."""
    model = dqn(cartpole(folder), **kwargs)
    model.set_logger(configure(str(folder / "log"), formats))
    return model


def other_callbacks(folder: Path) -> list[BaseCallback]:
    return [CsvLog(folder), EpisodeTable(path=folder / "games.csv", every=10**6)]


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file without times, with sorted columns."""
    with open(path, newline="") as file:
        lines = [line for line in file if not line.startswith("#")]
    found = list(csv.DictReader(lines))
    return [{key: one[key] for key in sorted(one) if key not in TIMES} for one in found]


def jsons(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: one for key, one in line.items() if key not in TIMES} for line in lines]


def texts(path: Path) -> list[str]:
    """Return the lines of SB3's log.txt without times and rulers."""
    lines = [" ".join(line.split()) for line in path.read_text().splitlines()]
    return [line for line in lines if not any(word in line for word in _NOT_COMPARED)]


def events(folder: Path) -> list[tuple[str, int, float]]:
    """Return the scalars that TensorBoard would plot."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="extra course"
    )
    found = accumulator.EventAccumulator(str(folder))
    found.Reload()
    return sorted(
        (tag, one.step, one.value)
        for tag in found.Tags()["scalars"]
        for one in found.Scalars(tag)
        if tag not in TIMES
    )


def read_all(folder: Path) -> dict[str, Any]:
    """Return the contents of all logs of a training."""
    return {
        "monitor": rows(folder / "0.monitor.csv"),
        "progress.csv of CsvLog": rows(folder / "progress.csv"),
        "games": rows(folder / "games.csv"),
        "csv": rows(folder / "log" / "progress.csv"),
        "json": jsons(folder / "log" / "progress.json"),
        "log": texts(folder / "log" / "log.txt"),
        "tensorboard": events(folder / "log"),
    }


@pytest.fixture(autouse=True)
def _ordered_event_file_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give event files opened within the same second names in order of time."""
    writer = pytest.importorskip("tensorboard.summary.writer.event_file_writer")
    monkeypatch.setattr(writer, "_global_uid", writer.AtomicCounter(1000))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an uninterrupted training with all logs."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    learn(folder, *other_callbacks(folder), model=logging_dqn(folder, FORMATS), log_interval=1)
    return folder


@pytest.mark.parametrize("interruptions", [(150,), (60, 130, 131, 190), (81,)])
def test_logs_continue_without_gaps_or_duplicates(
    interruptions: tuple[int, ...], uninterrupted: Path, tmp_path: Path
) -> None:
    first, *later = interruptions
    learn(
        tmp_path,
        *other_callbacks(tmp_path),
        model=logging_dqn(tmp_path, FORMATS),
        log_interval=1,
        interrupt_at=first,
    )
    for step in later:
        resume_until(tmp_path, step)
    resume_run(tmp_path, callback=other_callbacks(tmp_path))
    expected, found = read_all(uninterrupted), read_all(tmp_path)
    for name, lines in expected.items():
        assert found[name] == lines, name
        assert len(lines) > 5


def resume_until(folder: Path, step: int) -> None:
    """Resume a training that is interrupted again."""
    callbacks = [*other_callbacks(folder), Interrupt(step)]
    env = cartpole(folder, again=True)
    with pytest.raises(InterruptError):
        resume_run(folder, env, callback=callbacks)
    close(callbacks[0].model)


def test_relative_paths_and_symlinks_are_resolved(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)
    run = Path("link/run")
    learn(
        run,
        *other_callbacks(run),
        model=logging_dqn(run, FORMATS),
        log_interval=1,
        interrupt_at=150,
    )
    shutil.move(tmp_path / "real" / "run", tmp_path / "moved")
    (tmp_path / "link").unlink()
    monkeypatch.chdir(tmp_path / "real")
    run = Path("../moved")
    resume_run(run, callback=other_callbacks(run))
    assert read_all(run) == read_all(uninterrupted)


def test_default_tensorboard_log_is_continued(tmp_path: Path) -> None:
    uninterrupted, interrupted = tmp_path / "uninterrupted", tmp_path / "interrupted"
    for folder, end in ((uninterrupted, None), (interrupted, 150)):
        model = dqn(cartpole(folder), tensorboard_log=str(folder / "tb"))
        learn(folder, model=model, log_interval=1, interrupt_at=end, tb_log_name="pole")
    resume_run(interrupted)
    assert [path.name for path in (interrupted / "tb").iterdir()] == ["pole_1"]
    assert events(interrupted / "tb" / "pole_1") == events(uninterrupted / "tb" / "pole_1")


def state_of(folder: Path) -> tuple[Any, list[Path]]:
    """Return a state with files of 4 and 5 bytes and a CSV file of 2 rows, and their paths."""
    log = [folder / name for name in ("a.monitor.csv", "b.json", "t.csv")]
    log[0].write_text("1234+new")
    log[1].write_text("12345+new")
    log[2].write_text('x,y,z\n1,2,\n3,"a,b",\n5,6,7\n8,9')
    state = {
        "sizes": {"a.monitor.csv": 4, "b.json": 5},
        "tables": {"t.csv": {"keys": ["x", "y"], "rows": 2}},
        "writers": [],
        "folder": None,
    }
    return state, log


def test_log_files_are_truncated_to_the_checkpoint(tmp_path: Path) -> None:
    state, log = state_of(tmp_path)
    for _ in range(2):  # the second time changes nothing
        truncate_logs(state, tmp_path)
        assert [one.read_text() for one in log] == ["1234", "12345", 'x,y\n1,2\n3,"a,b"\n']
        assert len(os.listdir(tmp_path)) == 3


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("b.json", "1234", "b.json has 4 bytes, but had 5"),
        ("b.json", None, "b.json has 0 bytes, but had 5"),
        ("t.csv", "x,y\n1,2\n", "t.csv has 1 rows, but had 2"),
        ("t.csv", None, "t.csv has 0 rows, but had 2"),
    ],
)
def test_short_log_files_are_reported_and_not_truncated(
    name: str, text: str | None, message: str, tmp_path: Path
) -> None:
    state, log = state_of(tmp_path)
    if text is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(text)
    (problem,) = truncate_logs(state, tmp_path)
    assert message in problem
    assert (tmp_path / name).exists() == (text is not None)
    assert log[0].read_text() == "1234"  # the others are truncated


def test_missing_monitor_file_is_created_again(tmp_path: Path) -> None:
    learn(tmp_path, interrupt_at=150)
    monitor = tmp_path / "0.monitor.csv"
    n_before = monitor.read_text().count("\n")
    monitor.unlink()
    resume_run(tmp_path)
    assert monitor.read_text().startswith("#{")
    assert 2 < monitor.read_text().count("\n") < n_before + 20


def test_logs_are_flushed_before_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    fsync = os.fsync

    def note(number: int) -> None:
        flushed.append(os.path.basename(os.readlink(f"/proc/self/fd/{number}")))
        fsync(number)

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("requires /proc")
    monkeypatch.setattr(os, "fsync", note)
    learn(
        tmp_path,
        *other_callbacks(tmp_path),
        model=logging_dqn(tmp_path, FORMATS),
        steps=45,
        log_interval=1,
    )
    first = flushed[: flushed.index("step-000000040.npz.part")]
    assert {"0.monitor.csv", "progress.csv", "progress.json", "log.txt", "games.csv"} <= set(first)


def test_temporary_log_folder_is_not_continued(tmp_path: Path) -> None:
    model = dqn(cartpole(tmp_path), verbose=1)
    learn(tmp_path, model=model, steps=10)
    state = read_logs(model, [], [], tmp_path)
    assert state["folder"] is None  # SB3's temporary folder
    assert state["writers"] == [("stdout", None)]
    logger = reopen_logger(state, tmp_path, first_step=11)
    assert logger.dir is None
    assert len(logger.output_formats) == 1
