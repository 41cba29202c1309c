"""Job of one run, called in this process: training, resuming, evaluating, failing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.run_differences import compare_runs
from sb3_atari_course._common.errors import CheckpointError
from sb3_atari_course.checkpoints.folder import CheckpointFolder
from sb3_atari_course.cli import train
from sb3_atari_course.suite import run_job
from sb3_atari_course.suite.run_job import RunJob
from tests.suite.suites import contents, events, job, taxi


@pytest.fixture(autouse=True)
def _command_line() -> Iterator[None]:
    """Restore what a job changes in its process, which ends with it."""
    argv, original = sys.argv, list(sys.orig_argv)
    yield
    sys.argv, sys.orig_argv[:] = argv, original


@pytest.fixture(scope="module")
def execute(request: pytest.FixtureRequest) -> Callable[[RunJob], bool]:
    """Return a function that executes a job with the real stdout, which the job redirects."""
    manager = request.config.pluginmanager.getplugin("capturemanager")

    def execute(job: RunJob) -> bool:
        with manager.global_and_fixture_disabled():
            return job()

    return execute


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, execute: Callable[[RunJob], bool]) -> RunJob:
    """Return the job of a finished run, uninterrupted."""
    argv, original = sys.argv, list(sys.orig_argv)
    done = job(tmp_path_factory.mktemp("done"))
    assert execute(done)
    sys.argv, sys.orig_argv[:] = argv, original
    return done


def run_of(job: RunJob) -> Path:
    return job.folder.run(job.settings)


def assert_equal(a: RunJob, b: RunJob) -> None:
    differences = compare_runs(run_of(a), run_of(b), empty_buffer=lambda _: None)
    assert set(differences.values()) == {0}, differences
    assert events(run_of(b))[-1] == ("written", 400)


class StoppingAfter:
    """The command ``train``, stopped by a signal after a number of checkpoints."""

    def __init__(self, patch: pytest.MonkeyPatch, n_checkpoints: int) -> None:
        self._n, write = n_checkpoints, CheckpointFolder.write

        def write_and_stop(*arguments: object) -> None:
            write(*arguments)  # type: ignore[arg-type]
            self._n -= 1
            if self._n == 0:
                signal.raise_signal(signal.SIGINT)

        patch.setattr(CheckpointFolder, "write", write_and_stop)

    def __call__(self, arguments: Sequence[str]) -> None:
        train.main(arguments)


def test_trains_and_evaluates(done: RunJob) -> None:
    run = run_of(done)
    assert done.folder.is_trained(done.settings)
    assert done.folder.is_evaluated(done.settings, done.suite)
    assert [step for event, step in events(run) if event == "written"] == [100, 200, 300, 400]
    report = json.loads((run / "evaluation.json").read_text())
    assert report["protocol"]["n_games"] == 2
    assert report["model"] == "Taxi-v4.zip"
    log = done.folder.log(done.settings).read_text()
    assert "Loading hyperparameters from" in log
    assert "Evaluating q_learning on Taxi-v4" in log
    assert not done.folder.process(done.settings).exists()


def test_command_of_the_run_is_stored_as_a_command_of_train(done: RunJob) -> None:
    command = (run_of(done) / "Taxi-v4" / "command.txt").read_text()
    assert command.startswith("python -m sb3_atari_course train --algo q_learning --env Taxi-v4")
    assert "--seed 1 " in command


def test_finished_run_is_left_as_it_is(done: RunJob) -> None:
    before = contents(run_of(done))
    assert done()
    assert contents(run_of(done)) == before


def test_run_with_scores_of_another_protocol_is_only_evaluated(
    done: RunJob, tmp_path: Path
) -> None:
    copy = job(tmp_path)
    shutil.copytree(run_of(done), run_of(copy))
    before = contents(run_of(copy))
    evaluation = replace(copy.suite.evaluation, n_games=1)
    assert replace(copy, suite=replace(copy.suite, evaluation=evaluation))()
    changed = {path.name for path, now in contents(run_of(copy)).items() if now != before[path]}
    assert changed == {"evaluation.json"}
    report = json.loads((run_of(copy) / "evaluation.json").read_text())
    assert report["protocol"]["n_games"] == 1


def test_signal_stops_with_a_checkpoint_and_the_next_job_resumes(
    done: RunJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = job(tmp_path)
    with monkeypatch.context() as patch:
        assert not replace(stopped, train=StoppingAfter(patch, 2))()
    assert events(run_of(stopped))[-1][0] == "stopped"
    assert not stopped.folder.is_trained(stopped.settings)
    assert stopped()
    assert "resumed" in dict(events(run_of(stopped)))
    assert_equal(done, stopped)


def test_run_killed_before_its_first_checkpoint_starts_again(done: RunJob, tmp_path: Path) -> None:
    killed = job(tmp_path)
    shutil.copytree(run_of(done), run_of(killed))
    for path in [*run_of(killed).glob("checkpoints/*.npz"), killed.folder.model(killed.settings)]:
        path.unlink()
    (run_of(killed) / "progress.csv").write_text("left by the killed process")
    assert killed()
    assert_equal(done, killed)
    assert "resumed" not in dict(events(run_of(killed)))


@pytest.mark.parametrize("damage", ["missing", "half"])
def test_run_killed_while_its_model_was_saved_trains_its_last_steps_again(
    done: RunJob, tmp_path: Path, damage: str
) -> None:
    killed = job(tmp_path)
    shutil.copytree(run_of(done), run_of(killed))
    model = killed.folder.model(killed.settings)
    content = model.read_bytes()
    model.write_bytes(content[: len(content) // 2])
    if damage == "missing":
        model.unlink()
    assert killed()
    assert ("resumed", 300) in events(run_of(killed))
    assert_equal(done, killed)


def test_run_that_a_callback_has_ended_before_its_first_checkpoint_is_finished(
    tmp_path: Path,
) -> None:
    callback = "stable_baselines3.common.callbacks.StopTrainingOnMaxEpisodes"
    settings = taxi(callback=[{callback: {"max_episodes": 1}}])
    ended = replace(job(tmp_path, settings), checkpoint_freq=10_000)
    assert ended()
    assert [event for event, _ in events(run_of(ended))] == ["ended"]
    before = contents(run_of(ended))
    assert ended()
    assert contents(run_of(ended)) == before


def test_training_without_its_last_checkpoint_is_an_error(
    tmp_path: Path, execute: Callable[[RunJob], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(CheckpointFolder, "write", full)
    with pytest.raises(CheckpointError, match="last checkpoint or its model could not be written"):
        execute(job(tmp_path))


def test_run_whose_checkpoints_cannot_be_read_is_kept(
    done: RunJob, tmp_path: Path, execute: Callable[[RunJob], bool]
) -> None:
    damaged = job(tmp_path)
    shutil.copytree(run_of(done), run_of(damaged))
    for path in run_of(damaged).glob("checkpoints/step-*.npz"):
        path.write_bytes(b"of another version")
    before = contents(run_of(damaged))
    with pytest.raises(CheckpointError, match=r"to train again from the start, remove .*Taxi-v4_1"):
        execute(damaged)
    assert contents(run_of(damaged)) == before


@pytest.mark.parametrize("scores", ["missing", "damaged"])
def test_trained_run_without_its_folder_of_checkpoints_is_only_evaluated(
    done: RunJob, tmp_path: Path, scores: str
) -> None:
    copy = job(tmp_path)
    shutil.copytree(run_of(done), run_of(copy))
    shutil.rmtree(run_of(copy) / "checkpoints")
    report = run_of(copy) / "evaluation.json"
    written = report.read_bytes()
    report.write_text("{")
    if scores == "missing":
        report.unlink()
    before = copy.folder.model(copy.settings).read_bytes()
    assert copy()
    assert copy.folder.model(copy.settings).read_bytes() == before
    assert json.loads(report.read_text())["scores"] == json.loads(written)["scores"]


def test_folder_in_use_is_refused_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_job, "_LOCK_TIMEOUT", 0.0)
    second = job(tmp_path)
    lock = CheckpointFolder(run_of(second) / "checkpoints")
    lock.lock()
    with pytest.raises(CheckpointError, match=r"another process trains in .*Taxi-v4_1"):
        second()
    lock.unlock()


def test_failure_is_raised_and_its_traceback_is_in_the_log(
    tmp_path: Path, execute: Callable[[RunJob], bool]
) -> None:
    failing = job(tmp_path, taxi(env_wrapper="nowhere.Wrapper"))
    with pytest.raises(Exception, match="nowhere"):
        execute(failing)
    assert "Traceback" in failing.folder.log(failing.settings).read_text()
    assert not failing.folder.process(failing.settings).exists()


def test_interruption_before_training_is_not_a_failure(
    tmp_path: Path, execute: Callable[[RunJob], bool]
) -> None:
    def interrupted(_: Sequence[str]) -> None:
        raise KeyboardInterrupt

    stopped = job(tmp_path, train=interrupted)
    assert not execute(stopped)
    assert "interrupted" in stopped.folder.log(stopped.settings).read_text()


def test_process_is_registered_while_the_job_runs(tmp_path: Path) -> None:
    found: list[dict[str, object]] = []

    def look(_: Sequence[str]) -> None:
        found.append(json.loads(looking.folder.process(looking.settings).read_text()))
        raise SystemExit(143)

    looking = job(tmp_path, train=look)
    looking()
    (process,) = found
    assert set(process) == {"host", "pid", "started"}


def test_output_of_jobs_and_their_processes_is_appended(
    tmp_path: Path, execute: Callable[[RunJob], bool]
) -> None:
    def hello(_: Sequence[str]) -> None:
        os.write(2, b"hello\n")
        raise SystemExit(143)

    def again(_: Sequence[str]) -> None:
        print("again")
        raise SystemExit(143)

    talking = job(tmp_path, train=hello)
    execute(talking)
    execute(replace(talking, train=again))
    assert talking.folder.log(talking.settings).read_text() == "hello\nagain\n"


def test_wrong_arguments_of_train_are_an_error_not_an_interruption(
    tmp_path: Path, execute: Callable[[RunJob], bool]
) -> None:
    def refuse(arguments: Sequence[str]) -> None:
        raise SystemExit(2)

    with pytest.raises(RuntimeError, match="status 2"):
        execute(job(tmp_path, train=refuse))
