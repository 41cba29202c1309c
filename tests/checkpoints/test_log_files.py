"""Log files of a training that was cut off and resumed have neither gaps nor rows twice."""

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
from sb3_atari_course.checkpoints.log_files import cut_logs, read_logs, reopen_logger
from tests.checkpoints.small import close, dqn, go_on, learn, poles
from tests.checkpoints.trainings import CutError, CutOff

FORMATS = ["stdout", "csv", "json", "log", "tensorboard"]
TIMES = {"time/fps", "time/time_elapsed", "t", "seconds"}
#: The same in SB3's table, its rulers, and the name of the folder.
_NOT_COMPARED = ("fps", "time_elapsed", "---", "Logging to")


def logged(folder: Path, formats: list[str], **kwargs: Any) -> BaseAlgorithm:
    """Return a training with all kinds of logs."""
    model = dqn(poles(folder), **kwargs)
    model.set_logger(configure(str(folder / "log"), formats))
    return model


def beside(folder: Path) -> list[BaseCallback]:
    return [CsvLog(folder), EpisodeTable(path=folder / "games.csv", every=10**6)]


def rows(path: Path) -> list[dict[str, str]]:
    """Return a table without its times, its columns in the order of their names."""
    with open(path, newline="") as file:
        lines = [line for line in file if not line.startswith("#")]
    found = list(csv.DictReader(lines))
    return [{key: one[key] for key in sorted(one) if key not in TIMES} for one in found]


def jsons(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: one for key, one in line.items() if key not in TIMES} for line in lines]


def texts(path: Path) -> list[str]:
    """Return the lines of SB3's table, without times and rulers."""
    lines = [" ".join(line.split()) for line in path.read_text().splitlines()]
    return [line for line in lines if not any(word in line for word in _NOT_COMPARED)]


def events(folder: Path) -> list[tuple[str, int, float]]:
    """Return what TensorBoard would draw."""
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
    """Return what each log of a training says."""
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
def _names_of_events_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files that a process opens within one second have names in the order of time."""
    writer = pytest.importorskip("tensorboard.summary.writer.event_file_writer")
    monkeypatch.setattr(writer, "_global_uid", writer.AtomicCounter(1000))


@pytest.fixture(scope="module")
def peace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a training in peace, with all logs."""
    folder = tmp_path_factory.mktemp("peace")
    learn(folder, *beside(folder), model=logged(folder, FORMATS), log_interval=1)
    return folder


@pytest.mark.parametrize("cuts", [(150,), (60, 130, 131, 190), (81,)])
def test_each_log_goes_on_without_gap_or_overlap(
    cuts: tuple[int, ...], peace: Path, tmp_path: Path
) -> None:
    first, *later = cuts
    learn(tmp_path, *beside(tmp_path), model=logged(tmp_path, FORMATS), log_interval=1, cut=first)
    for cut in later:
        resumed_until(tmp_path, cut)
    go_on(tmp_path, callback=beside(tmp_path))
    expected, found = read_all(peace), read_all(tmp_path)
    for name, lines in expected.items():
        assert found[name] == lines, name
        assert len(lines) > 5


def resumed_until(folder: Path, cut: int) -> None:
    """Resume a training that is cut off again."""
    callbacks = [*beside(folder), CutOff(cut)]
    env = poles(folder, again=True)
    with pytest.raises(CutError):
        go_on(folder, env, callback=callbacks)
    close(callbacks[0].model)


def test_relative_paths_and_links_are_the_same_folder(
    peace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)
    run = Path("link/run")
    learn(run, *beside(run), model=logged(run, FORMATS), log_interval=1, cut=150)
    shutil.move(tmp_path / "real" / "run", tmp_path / "moved")
    (tmp_path / "link").unlink()
    monkeypatch.chdir(tmp_path / "real")
    run = Path("../moved")
    go_on(run, callback=beside(run))
    assert read_all(run) == read_all(peace)


def test_the_log_that_sb3_makes_itself_goes_on(tmp_path: Path) -> None:
    peace, cut = tmp_path / "peace", tmp_path / "cut"
    for folder, end in ((peace, None), (cut, 150)):
        model = dqn(poles(folder), tensorboard_log=str(folder / "tb"))
        learn(folder, model=model, log_interval=1, cut=end, tb_log_name="pole")
    go_on(cut)
    assert [path.name for path in (cut / "tb").iterdir()] == ["pole_1"]
    assert events(cut / "tb" / "pole_1") == events(peace / "tb" / "pole_1")


def state_of(folder: Path) -> tuple[Any, list[Path]]:
    """Return a state with a file of 4 bytes, one of 5 and a table of 2 rows, and these files."""
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


def test_files_are_cut_back(tmp_path: Path) -> None:
    state, log = state_of(tmp_path)
    for _ in range(2):  # a second time, nothing
        cut_logs(state, tmp_path)
        assert [one.read_text() for one in log] == ["1234", "12345", 'x,y\n1,2\n3,"a,b"\n']
        assert len(os.listdir(tmp_path)) == 3


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("b.json", "1234", "b.json has 4 bytes, it had 5 at the checkpoint"),
        ("b.json", None, "b.json has 0 bytes, it had 5 at the checkpoint"),
        ("t.csv", "x,y\n1,2\n", "t.csv has 1 rows, it had 2"),
        ("t.csv", None, "t.csv has 0 rows, it had 2"),
    ],
)
def test_one_that_is_too_short_is_told_and_left_alone(
    name: str, text: str | None, message: str, tmp_path: Path
) -> None:
    state, log = state_of(tmp_path)
    if text is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(text)
    (problem,) = cut_logs(state, tmp_path)
    assert message in problem
    assert (tmp_path / name).exists() == (text is not None)
    assert log[0].read_text() == "1234"  # the others are cut


def test_a_lost_monitor_file_begins_anew(tmp_path: Path) -> None:
    learn(tmp_path, cut=150)
    monitor = tmp_path / "0.monitor.csv"
    n_before = monitor.read_text().count("\n")
    monitor.unlink()
    go_on(tmp_path)
    assert monitor.read_text().startswith("#{")
    assert 2 < monitor.read_text().count("\n") < n_before + 20


def test_logs_are_on_the_disk_before_the_checkpoint_counts_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    fsync = os.fsync

    def note(number: int) -> None:
        flushed.append(os.path.basename(os.readlink(f"/proc/self/fd/{number}")))
        fsync(number)

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("names of open files are read from Linux")
    monkeypatch.setattr(os, "fsync", note)
    learn(tmp_path, *beside(tmp_path), model=logged(tmp_path, FORMATS), steps=45, log_interval=1)
    first = flushed[: flushed.index("step-000000040.npz.part")]
    assert {"0.monitor.csv", "progress.csv", "progress.json", "log.txt", "games.csv"} <= set(first)


def test_a_log_that_nobody_asked_for_is_not_gone_on_with(tmp_path: Path) -> None:
    model = dqn(poles(tmp_path), verbose=1)
    learn(tmp_path, model=model, steps=10)
    state = read_logs(model, [], [], tmp_path)
    assert state["folder"] is None  # SB3's temporary one
    assert state["writers"] == [("stdout", None)]
    logger = reopen_logger(state, tmp_path, first_step=11)
    assert logger.dir is None
    assert len(logger.output_formats) == 1
